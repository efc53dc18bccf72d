"""Answering only, or answering cheaply, where a model is sure: risk–coverage curves and the cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation import (
    bootstrap,
    cascade_curve,
    cascade_threshold,
    paired_difference,
    risk_coverage,
    top_class,
)
from ...evaluation.intervals import Interval
from ...reporting import Metric, Point, Series
from ...reporting.verdicts import change_verdict
from ..measure import interval_metric
from .extra import Extra
from .outputs import Scored

CASCADE = "Cascade: B first, A when unsure"
"""Group of the cascade's metrics."""
_SHOWN = 25  # points of a curve


@dataclass(frozen=True)
class ImageCost:
    """What one image costs A and B."""

    a: float
    b: float
    unit: str
    """"ms" or "GMACs"."""
    source: str
    """How it was found, in words."""

    @classmethod
    def timed(cls, speed: Mapping[str, Any], a: str, b: str) -> ImageCost:
        """From a measured speed (`SpeedResult` as plain values), at its largest batch.

        Args:
            a, b: labels of the models there.
        """
        batch = max(t["batch_size"] for t in speed["timings"])
        each = {
            t["label"]: 1000 / t["images_per_second"]
            for t in speed["timings"]
            if t["batch_size"] == batch
        }
        return cls(each[a], each[b], "ms", f"measured images per second at batch {batch}")


def risk_extra(models: Sequence[Scored], seed: int) -> Extra:
    """Error rate of the images answered against their share, one curve a model, by msp."""
    series = []
    for m in models:
        confidence, right = answers(m)
        curve = risk_coverage(-confidence, right)
        points = []
        for k in _spread(curve.coverage):
            risk = bootstrap(~right[-confidence <= curve.threshold[k]], seed)
            points.append(Point(100 * curve.coverage[k], risk.value, risk.low, risk.high))
        x, title = "images answered, surest first (%)", "Risk against coverage, by msp"
        name, y = m.candidate.letter, "errors among them (%)"
        series.append(Series(name, x, y, tuple(points), "line", title))
    return Extra(series=series)


def cascade_extra(a: Scored, b: Scored, cost: ImageCost, seed: int) -> Extra:
    """B answers, and hands images that it is less sure of than a threshold to A.

    One half of the ID images, every class halved, chooses the threshold: the cheapest at which the
    cascade is right as often there as A. All figures and the curve are of the other half. Handed-on images
    are paid for twice.

    Source: Wang et al. 2022, "Wisdom of Committees" (arXiv 2012.01988), cascades by max softmax.
    """
    if cost.b >= cost.a:
        given = f"{cost.b:.3g} and {cost.a:.3g} {cost.unit}"
        return Extra(notes=[f"no cascade: B costs as much an image as A ({given}, {cost.source})"])
    (confidence, small), (_, full) = answers(b), answers(a)
    choosing, reported = halves(a.inside.labels, seed)
    chosen, shown = (
        cascade_curve(confidence[part], small[part], full[part], cost.b, cost.a)
        for part in (choosing, reported)
    )
    threshold = cascade_threshold(chosen, 100 * float(full[choosing].mean()))
    conf, small, full = confidence[reported], small[reported], full[reported]
    handed = conf < threshold
    right = np.where(handed, full, small)
    points = []
    for k in _spread(shown.handed_on):
        row = np.where(conf < shown.threshold[k], full, small)
        points.append(_point(shown.cost[k], bootstrap(row, seed)))
    alone = {"A alone": (cost.a, full), "B alone": (cost.b, small)}
    alone["chosen"] = (cost.b + cost.a * handed.mean(), right)
    x = f"{cost.unit} an image ({cost.source})"
    title, y = "Cascade: accuracy against cost", "top-1 (%)"
    series = [Series("cascade", x, y, tuple(points), "line", title)] + [
        Series(name, x, y, (_point(place, bootstrap(row, seed)),), "scatter", title)
        for name, (place, row) in alone.items()
    ]
    return Extra(metrics=_metrics(right, small, full, handed, cost, seed), series=series)


def answers(model: Scored) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) largest softmax of each ID image, and whether that class is right."""
    confidence, right = top_class(model.inside.logits, model.inside.labels)
    return confidence, right.astype(np.bool_)


def halves(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) labels → positions of one half and of the other; they share every class evenly."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(order[::2]), np.sort(order[1::2])


def _metrics(
    right: NDArray[np.bool_], small: NDArray[np.bool_], full: NDArray[np.bool_],
    handed: NDArray[np.bool_], cost: ImageCost, seed: int,
) -> list[Metric]:  # fmt: skip
    share, change = bootstrap(handed, seed), paired_difference(right, full, seed)
    half = f"on the {len(right)} ID images that did not choose the threshold"
    ends = [cost.b + cost.a * x / 100 for x in (share.value, share.low, share.high)]
    verdict = change_verdict(change.low, change.high, "higher")
    told = f"against A on the same images: {verdict}"
    return [
        interval_metric("cascade_top1", bootstrap(right, seed), CASCADE, note=half),
        interval_metric("cascade_top1_a", bootstrap(full, seed), CASCADE),
        interval_metric("cascade_top1_b", bootstrap(small, seed), CASCADE),
        interval_metric("cascade_change", change, CASCADE, note=told),
        interval_metric("cascade_handed_on", share, CASCADE, direction="lower"),
        Metric("cascade_cost", ends[0], cost.unit, "lower", ends[1], ends[2], cost.source, CASCADE),
        Metric("cascade_cost_ratio", ends[0] / cost.a, "×", "lower", ends[1] / cost.a,
               ends[2] / cost.a, _paid(cost, ends[0]), CASCADE),
    ]  # fmt: skip


def _paid(cost: ImageCost, mean: float) -> str:
    verdict = "" if mean < cost.a else "; no gain: A alone is cheaper"
    return f"{cost.b:.3g} {cost.unit} for each image, {cost.a:.3g} more when handed on{verdict}"


def _point(x: float, y: Interval) -> Point:
    return Point(float(x), y.value, y.low, y.high)


def _spread(places: NDArray[np.float64]) -> list[int]:
    """Positions in increasing ``places`` that are about evenly far apart, the ends included."""
    wanted = np.linspace(places[0], places[-1], _SHOWN)
    nearest = np.clip(np.searchsorted(places, wanted - 1e-12), 0, len(places) - 1)
    return sorted(set(nearest.tolist()))
