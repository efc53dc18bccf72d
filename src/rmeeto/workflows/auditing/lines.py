"""What the kept outputs say: one line a measure, for one model or for two with a paired change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...evaluation import (
    DetectionScores,
    Estimate,
    adaptive_ece_of,
    aurc,
    bootstrap,
    correct,
    detection_estimates,
    ece_of,
    error_detection,
    estimate,
    image_brier,
    image_nll,
    paired_difference,
    threshold_at,
    top_class,
)
from ...evaluation.intervals import Interval
from ...reporting.verdicts import change_verdict
from .inputs import OutlierSet
from .outputs import Kept, Scored

Direction = Literal["higher", "lower"]
DETECTION: dict[str, Direction] = {
    "auroc": "higher",
    "fpr95_id_positive": "lower",
    "fpr95_ood_positive": "lower",
    "aupr_in": "higher",
    "aupr_out": "higher",
    "detection_error": "lower",
    "oscr": "higher",
}
"""Detection measure → which way is better."""


FAMILIES = ("corruptions", "perspective", "backgrounds")
"""What corrupted images are grouped by."""


@dataclass(frozen=True)
class Line:
    """One measure of A, and of B with B − A on the same images."""

    part: str
    """"ID", an OOD set's title, "near average" or "far average", or corrupted images."""
    score: str
    """The score's name; "" where the measure needs none."""
    measure: str
    direction: Direction
    a: Interval
    b: Interval | None = None
    change: Interval | None = None
    """B − A; in points where A is in percent."""

    @property
    def verdict(self) -> str:
        """Better, same within interval, or worse; "" for one model."""
        if self.change is None:
            return ""
        return change_verdict(_known(self.change.low), _known(self.change.high), self.direction)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def line_of(
    part: str, score: str, measure: str, direction: Direction, found: Sequence[Estimate], unit: str
) -> Line:
    """A line from the estimates of one model or two; ``unit`` is A's."""
    a = found[0].interval(unit)
    if len(found) == 1:
        return Line(part, score, measure, direction, a)
    change = (found[1] - found[0]).interval("pt" if unit == "%" else unit)
    return Line(part, score, measure, direction, a, found[1].interval(unit), change)


_Statistic = Callable[[np.ndarray], float]


def _statistics(kept: Kept) -> dict[str, tuple[Direction, str, _Statistic]]:
    """Measure → which way is better, unit, and a function of positions of images."""
    logits, labels = kept.logits, kept.labels
    confidence, right = top_class(logits, labels)
    losses, squares = image_nll(logits, labels), image_brier(logits, labels)
    return {
        "top1": ("higher", "%", lambda picks: right[picks].mean()),
        "nll": ("lower", "nats", lambda picks: losses[picks].mean()),
        "brier": ("lower", "", lambda picks: squares[picks].mean()),
        "ece": ("lower", "%", lambda picks: ece_of(confidence[picks], right[picks])),
        "adaptive_ece": ("lower", "%", lambda p: adaptive_ece_of(confidence[p], right[p])),
        "aurc": ("lower", "%", lambda picks: aurc(-confidence[picks], right[picks])),
        "worst_class": ("higher", "%", lambda picks: _worst(labels[picks], right[picks])),
    }


def _worst(labels: np.ndarray, right: np.ndarray) -> float:
    images, hits = np.bincount(labels), np.bincount(labels, right)
    return float((hits[images > 0] / images[images > 0]).min())


def id_lines(models: Sequence[Scored], seed: int, draws: int) -> list[Line]:
    """Accuracy, calibration and selective prediction on the ID images."""
    return set_lines("ID", [m.inside for m in models], seed, draws)


def set_lines(part: str, kept: Sequence[Kept], seed: int, draws: int) -> list[Line]:
    """The same on any labelled set of the model's classes; one entry a model."""
    found = [_statistics(each) for each in kept]
    lines = []
    for name, (direction, unit, _) in found[0].items():
        parts = [
            estimate(each[name][2], len(k.labels), seed, draws)
            for each, k in zip(found, kept, strict=True)
        ]
        lines.append(line_of(part, "", name, direction, parts, unit))
    return lines


_FEW = 20  # errors, or right answers, below which their ranking says little


def error_lines(models: Sequence[Scored], seed: int, draws: int) -> list[Line]:
    """How well each score finds the model's own errors; none where there are too few of them."""
    right = [correct(m.inside.logits, m.inside.labels) for m in models]
    if any(min(r.sum(), (~r).sum()) < _FEW for r in right):
        return []
    lines = []
    for name in models[0].scores:
        parts = [
            error_detection(m.scores[name][0], r, seed, draws)
            for m, r in zip(models, right, strict=True)
        ]
        lines.append(line_of("ID", name, "error_auroc", "higher", parts, "%"))
    return lines


def detection_lines(
    models: Sequence[Scored], outliers: Sequence[OutlierSet], seed: int, draws: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Line]:  # fmt: skip
    """Every detection measure of every score on every OOD set, then the near and far averages."""
    names, lines = list(models[0].scores), []
    sums: dict[tuple[str, str], list[list[dict[str, Estimate]]]] = {}
    right = [correct(m.inside.logits, m.inside.labels) for m in models]
    for k, outlier in enumerate(outliers):
        for j, name in enumerate(names):
            pair = [
                DetectionScores(m.scores[name][0], m.scores[name][k + 1], r)
                for m, r in zip(models, right, strict=True)
            ]
            found = detection_estimates(pair, tuple(DETECTION), seed, draws, stream=k)
            lines += _detection(outlier.title, name, found)
            sums.setdefault((outlier.kind, name), []).append(found)
            progress(k * len(names) + j + 1, len(outliers) * len(names))
    for (kind, name), sets in sums.items():
        means = [
            {m: Estimate.mean([each[k][m] for each in sets]) for m in DETECTION}
            for k in range(len(models))
        ]
        lines += _detection(average(kind), name, means)
    return lines


def average(kind: str) -> str:
    """The part that a mean over the near or the far sets, or over a family, is called."""
    return f"{kind} average"


def _detection(part: str, score: str, found: Sequence[dict[str, Estimate]]) -> list[Line]:
    return [
        line_of(part, score, name, direction, [each[name] for each in found], "%")
        for name, direction in DETECTION.items()
    ]


def transfer_lines(
    before: Scored, after: Scored, outliers: Sequence[OutlierSet], seed: int, draws: int
) -> list[Line]:
    """What B rejects and accepts at the threshold that accepts 95 % of A's ID images.

    The threshold is taken as given: intervals are over the images that meet it.
    """
    lines = []
    for name, ours in before.scores.items():
        theirs = after.scores[name]
        level = threshold_at(ours[0])
        flags = [scores[0] > level for scores in (ours, theirs)]
        lines.append(_shares("ID", name, "id_rejected", flags, seed, draws))
        for k, outlier in enumerate(outliers):
            flags = [scores[k + 1] <= level for scores in (ours, theirs)]
            lines.append(_shares(outlier.title, name, "ood_accepted", flags, seed, draws))
    return lines


def _shares(
    part: str, score: str, measure: str, flags: Sequence[np.ndarray], seed: int, draws: int
) -> Line:
    a, b = (bootstrap(flag, seed, draws) for flag in flags)
    change = paired_difference(flags[1], flags[0], seed, draws)
    return Line(part, score, measure, "lower", a, b, change)
