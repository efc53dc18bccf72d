"""Detection metrics of finished cells: paired over images, over seeds, averaged over the far sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experiments.detection import ranks
from experiments.store import Result
from rmeeto.evaluation import Estimate, Interval, detection_estimates, mean_and_interval


def far(results: Sequence[Result], scores: Sequence[str], metric: str, kind: str = "far") -> list[Estimate]:
    """The metric of each result read by its score, mean over the far (or near) sets.

    Every draw takes the same images for all results, so that their differences are paired.
    """
    found = [ranks(r.detection, s) for r, s in zip(results, scores, strict=True)]
    titles = [title for title in found[0] if title.startswith(kind)]
    sets = [
        detection_estimates([each[title] for each in found], (metric,), stream=k)
        for k, title in enumerate(titles)
    ]
    return [Estimate.mean([each[i][metric] for each in sets]) for i in range(len(results))]


def changes(
    before: Sequence[Result], after: Sequence[Result], scores: tuple[str, str],
    metric: str = "fpr95_id_positive", kind: str = "far",
) -> list[Estimate]:  # fmt: skip
    """For each seed: the metric after minus before, each read by its own score.

    One result before (a model that was not trained again) stands for every seed.
    """
    first = list(before) * (len(after) if len(before) == 1 else 1)
    pairs = zip(first, after, strict=True)
    both = [far(pair, scores, metric, kind) for pair in pairs]
    return [b - a for a, b in both]


def over_seeds(found: Sequence[Estimate], unit: str = "pt") -> Interval:
    """Mean over seeds; on each side the wider of the bootstrap over images and Student's t over seeds."""
    pooled = Estimate.mean(found).interval(unit)
    if len(found) == 1:
        return pooled
    spread = mean_and_interval([100 * each.value for each in found], unit=unit)
    return Interval(pooled.value, min(pooled.low, spread.low), max(pooled.high, spread.high), unit)


def place(results: Sequence[Result], name: str, kind: str) -> list[float]:
    """A number of the geometry of each result, mean over the sets of a kind ("id", "near", "far")."""
    return [
        float(np.mean([v[name] for t, v in r.detection["geometry"]["sets"].items() if t.startswith(kind)]))
        for r in results
    ]


def paired(values: Sequence[float], others: Sequence[float], of: Callable[[float, float], float]) -> Interval:
    """A function of two numbers of each seed: mean over seeds with Student's t."""
    return mean_and_interval([of(a, b) for a, b in zip(values, others, strict=True)], unit="")
