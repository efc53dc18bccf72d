"""A record's stages and training history as charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .charts import Chart
from .measures import STAGES
from .numbers import THIN, number
from .record import Metric, Point, RunRecord, Series

_KINDS = {"trained": "training", "validated": "validation"}


def stage_chart(record: RunRecord) -> Chart | None:
    """Top-1 at each stage with its interval: the fall and the way back."""
    top1 = _top1(record)
    if len(top1) < 2:
        return None
    points = tuple(_stage_point(x, metric) for x, metric in enumerate(top1.values()))
    series = Series("Top-1", "", "Top-1 accuracy, %", points)
    categories = tuple(STAGES[stage] for stage in top1)
    return Chart("Top-1 accuracy at each stage", (series,), categories=categories)


def training_charts(record: RunRecord) -> list[Chart]:
    """Losses, and accuracies with the stages before as dashed lines, where there are any."""
    x = _x_key(record.history)
    losses = _series(record, "loss", x, "Loss")
    accuracies = _series(record, "accuracy", x, "Top-1 accuracy, %")
    before = {k: m for k, m in _top1(record).items() if k != "retrained"}
    lines = tuple((STAGES[k].lower(), m.value or 0.0) for k, m in before.items())
    charts = (Chart("Loss", losses), Chart("Validation accuracy", accuracies, lines))
    return [chart for chart in charts if chart.series]


def _top1(record: RunRecord) -> dict[str, Metric]:
    """Stage → its top-1 accuracy, in the order of the stages; a control is on no way through them."""
    found = {m.group: m for m in record.metrics if m.name == "top1" and m.value is not None}
    return {stage: found[stage] for stage in STAGES if stage in found and stage != "control"}


def _stage_point(x: int, metric: Metric) -> Point:
    return Point(x, metric.value, metric.low, metric.high, f"{number(metric.value, 1)}{THIN}%")


def _x_key(history: tuple[dict[str, Any], ...]) -> str:
    """Epochs, or steps where no epoch was noted or the run ended within the first."""
    epochs = [row["epoch"] for row in history if _is_number(row.get("epoch"))]
    steps = any(_is_number(row.get("step")) for row in history)
    return "step" if steps and (not epochs or max(epochs) < 1) else "epoch"


def _series(record: RunRecord, wanted: str, x: str, y_label: str) -> tuple[Series, ...]:
    curves: dict[str, list[Point]] = {}
    for row in record.history:
        if _is_number(row.get(x)):
            for name, value in _values(row, wanted):
                curves.setdefault(name, []).append(Point(row[x], value))
    return tuple(Series(n, x.capitalize(), y_label, tuple(p)) for n, p in curves.items())


def _values(row: Mapping[str, Any], wanted: str) -> Iterator[tuple[str, float]]:
    """The row's losses or accuracies, by the name of their curve.

    Lines of a training log carry a kind and accuracies as shares; the accuracy of a "trained" line
    is that on augmented images and not comparable. Other rows have percentages ("val_top1").
    """
    kind = _KINDS.get(row.get("kind", ""))
    for key, value in row.items():
        words = key.replace("top1", "accuracy")
        if wanted not in words or not _is_number(value):
            continue
        if kind is None:
            yield key.replace("_", " "), value
        elif wanted == "loss" or kind == "validation":
            rest = words.replace(wanted, "").strip("_ ").replace("ema", "averaged weights")
            yield f"{kind}, {rest}" if rest else kind, 100 * value if wanted != "loss" else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
