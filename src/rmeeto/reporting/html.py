"""One self-contained HTML page of a record: no network, no scripts, no fonts to load."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..storage import write_atomic
from .bars import bars, tokens
from .charts import Chart, assign_colours, both_sizes, plot
from .headline import headline, merged_share
from .measures import STAGES, before_after, other_groups
from .numbers import THIN, duration, number, plain_text
from .record import MergePicture, MergeView, Metric, Point, RunRecord, Series
from .scales import Size

_BUCKETS = (
    (1, 1, "1 patch"),
    (2, 3, "2–3 patches"),
    (4, 7, "4–7 patches"),
    (8, None, "8 patches or more"),
)


def write_report(record: RunRecord, path: str | Path) -> Path:
    """Write the record as one HTML file that opens anywhere, without a network.

    Raises:
        StorageError: the file can't be written.
    """
    return write_atomic(path, report_html(record))


def report_html(record: RunRecord) -> str:
    """The page as text; sections without data are left out."""
    import jinja2

    source = files("rmeeto.reporting").joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(plain=plain_text, number=number)
    return environment.from_string(source).render(
        record=record,
        headline=headline(record),
        created=_when(record.created),
        subtitle=_subtitle(record),
        stages=before_after(record),
        stage_chart=_stage_chart(record),
        groups=other_groups(record),
        charts=_charts(record),
        training=_training(record),
        layers=_layers(record),
        pictures=[_picture(p) for p in record.pictures],
        timings={name: duration(seconds) for name, seconds in record.timings.items()},
        facts=_facts(record),
    )


def _subtitle(record: RunRecord) -> str:
    """Model and data where the configuration names them in words."""
    named = [record.config.get(key) for key in ("model", "data", "dataset")]
    return " on ".join(value for value in named if isinstance(value, str))


def _when(created: str) -> str:
    """ISO time to the minute, its zone in letters where it is UTC."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = "UTC" if moment.utcoffset() == timedelta(0) else f"{moment:%z}"  # "" where none
    return f"{moment:%Y-%m-%d %H:%M} {zone}".rstrip()


def _facts(record: RunRecord) -> dict[str, dict[str, Any]]:
    run = {
        "Command": f"rmeeto {record.command}",
        "Made": record.created,
        "Version": record.code_version,
        "Fingerprint": record.fingerprint,
    }
    groups = {"Run": run, "Machine": record.machine, "Seeds": record.seeds}
    kept = {name: {k: v for k, v in facts.items() if v != ""} for name, facts in groups.items()}
    return {name: facts for name, facts in kept.items() if facts}


def _figure(title: str, draw: Callable[[Size], str], note: str = "") -> dict[str, Any] | None:
    import markupsafe

    drawn = both_sizes(draw)  # our own markup: every text in it went through scales.tag
    if not drawn:
        return None
    return {"title": title, "svg": markupsafe.Markup(drawn), "note": note, "series": ()}


def _stage_chart(record: RunRecord) -> dict[str, Any] | None:
    """Top-1 at each stage with its interval: the fall and the way back."""
    top1 = {m.group: m for m in record.metrics if m.name == "top1" and m.value is not None}
    found = [(stage, top1[stage]) for stage in STAGES if stage in top1]
    if len(found) < 2:
        return None
    points = tuple(_stage_point(x, metric) for x, (_, metric) in enumerate(found))
    series = Series("Top-1", "", "Top-1 accuracy, %", points, "line")
    categories = tuple(STAGES[stage] for stage, _ in found)
    chart = Chart("Top-1 accuracy at each stage", (series,), categories=categories)
    return _figure(chart.title, lambda size: plot(chart, size))


def _stage_point(x: int, metric: Metric) -> Point:
    return Point(x, metric.value, metric.low, metric.high, f"{number(metric.value, 1)}{THIN}%")


def _charts(record: RunRecord) -> list[dict[str, Any]]:
    """One chart for each group of series; a name has one colour through the page."""
    groups: dict[str, list[Series]] = {}
    for series in record.series:
        groups.setdefault(series.group or series.name, []).append(series)
    colours: dict[str, int] = {}
    built = []
    for title, grouped in groups.items():
        colours = assign_colours([s.name for s in grouped], colours)
        built.append(_chart(title, grouped, colours))
    return [chart for chart in built if chart]


def _chart(title: str, series: Sequence[Series], colours: Mapping[str, int]) -> dict | None:
    chart = Chart(title, tuple(series), colours=colours)
    draw = bars if all(s.kind == "bar" for s in series) else plot
    figure = _figure(title, lambda size: draw(chart, size))
    return figure and figure | {"series": series}


def _training(record: RunRecord) -> list[dict[str, Any]]:
    """Curves of losses and of accuracies, the latter with the stages before as dashed lines."""
    before = [
        (STAGES[stage].lower(), metric.value)
        for metric in record.metrics
        for stage in ("baseline", "reduced")
        if metric.name == "top1" and metric.group == stage and metric.value is not None
    ]
    loss = _curves(record, lambda key: "loss" in key, "Loss", "Loss")
    accuracy = _curves(record, _is_accuracy, "Accuracy", "Top-1 accuracy, %", tuple(before))
    return [figure for figure in (loss, accuracy) if figure]


def _is_accuracy(key: str) -> bool:
    return "top1" in key or "accuracy" in key


def _curves(
    record: RunRecord,
    wanted: Callable[[str], bool],
    title: str,
    y_label: str,
    references: tuple[tuple[str, float], ...] = (),
) -> dict[str, Any] | None:
    """The wanted columns of the history against epochs, or steps where no epoch was noted."""
    x_key = "epoch" if any("epoch" in row for row in record.history) else "step"
    keys = dict.fromkeys(key for row in record.history for key in row if wanted(key))
    series = []
    for key in keys:
        rows = [r for r in record.history if _is_number(r.get(key)) and _is_number(r.get(x_key))]
        points = tuple(Point(row[x_key], row[key]) for row in rows)
        series.append(Series(key.replace("_", " "), x_key.capitalize(), y_label, points))
    chart = Chart(f"{title} during re-training", tuple(series), references)
    return _figure(chart.title, lambda size: plot(chart, size))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _layers(record: RunRecord) -> dict[str, Any] | None:
    share = merged_share(record)
    note = f"{number(100 * share, 0)}{THIN}% fewer, on average over the blocks." if share else ""
    title = "Tokens in each block"
    return _figure(title, lambda size: tokens(record.tokens_per_layer, title, size), note)


def _picture(picture: MergePicture) -> dict[str, Any]:
    from .figures import decode, png, upscale

    image, grid = decode(picture.image), (picture.grid[0], picture.grid[1])
    original = png(upscale(image, grid, max(6, round(280 / grid[1]))))
    views = [_view(view, image, grid) for view in picture.views]
    return {
        "title": picture.title,
        "caption": picture.caption,
        "original": _uri(original),
        "patches": grid[0] * grid[1],
        "views": views,
    }


def _view(view: MergeView, image: Any, grid: tuple[int, int]) -> dict[str, Any]:
    from .figures import DROPPED, draw_merged, png, token_sizes

    sizes = token_sizes(view.source).tolist()
    counts = [(_in_bucket(sizes, low, high), name) for low, high, name in _BUCKETS]
    return {
        "label": view.label,
        "uri": _uri(png(draw_merged(image, view.source, grid))),
        "tokens": len(sizes),
        "dropped": sum(slot == DROPPED for slot in view.source),
        "sizes": [(count, name) for count, name in counts if count],
    }


def _in_bucket(sizes: Sequence[int], low: int, high: int | None) -> int:
    return sum(low <= size and (high is None or size <= high) for size in sizes)


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
