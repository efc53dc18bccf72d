"""Bootstrap intervals of detection metrics, for one model and for two on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError, unknown_name
from .checks import check_share, flag_vector, score_vector
from .detection import DetectionScores
from .intervals import Interval
from .ranking import METRICS, Counts, Groups

_CELLS = 400_000  # counts held at once: a few megabytes, whatever the number of draws

Draws = dict[str, NDArray[np.float64]]


def detection_intervals(
    scores: DetectionScores,
    metrics: Sequence[str] = ("auroc", "fpr95_id_positive", "fpr95_ood_positive"),
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Detection metrics with percentile bootstrap intervals over images.

    ID and OOD images are resampled with replacement, each set on its own.

    Args:
        scores: of one model.
        metrics: names from `METRICS`.
        seed: seed of the resampling.
        n: number of resamples.
        level: probability, in (0, 1).

    Returns:
        One interval in "%" for each metric.

    Raises:
        UnknownNameError: another metric. ShapeError: as `auroc`; "oscr" without ``correct``.
        ConfigError: n < 1 or a level out of range.
    """
    _check(metrics, n, level, (scores,))
    groups = _groups(scores)
    values = {name: float(METRICS[name](groups.counts())[0]) for name in metrics}
    draws = _gather(metrics, (_metrics_of(c[0], metrics) for c in _resamples([groups], seed, n)))
    return {m: _interval(values[m], draws[m], level, "%") for m in metrics}


def detection_differences(
    a: DetectionScores,
    b: DetectionScores,
    metrics: Sequence[str] = ("auroc", "fpr95_id_positive", "fpr95_ood_positive"),
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Differences ``a − b`` of detection metrics of two models on the same images.

    Every draw takes the same images for both models, so what they share cancels out.

    Args:
        a, b: scores of both models, images in the same order.
        metrics, seed, n, level: as `detection_intervals`.

    Returns:
        One interval in "pt" (percentage points) for each metric; positive means ``a`` is larger.

    Raises:
        ShapeError: numbers of images that differ, or what `detection_intervals` raises.
    """
    _check(metrics, n, level, (a, b))
    pair = [_groups(a), _groups(b)]
    if len(pair[0].id) != len(pair[1].id) or len(pair[0].ood) != len(pair[1].ood):
        raise ShapeError(
            "scores of two models on the same images",
            " and ".join(f"{len(g.id)} ID + {len(g.ood)} OOD" for g in pair),
            "pairs need equal lengths; keep the images that both results share (by their ids)",
        )
    first, second = (_metrics_of(g.counts(), metrics) for g in pair)
    values = {name: float(first[name][0] - second[name][0]) for name in metrics}
    draws = _gather(metrics, (_difference(c, metrics) for c in _resamples(pair, seed, n)))
    return {m: _interval(values[m], draws[m], level, "pt") for m in metrics}


def _resamples(models: Sequence[Groups], seed: int, n: int) -> Iterator[list[Counts]]:
    """Counts of each model for draw after draw, a few draws at a time; all models share the images."""
    rng = np.random.default_rng(seed)
    n_id, n_ood = len(models[0].id), len(models[0].ood)
    step = max(1, _CELLS // (n_id + n_ood))
    for start in range(0, n, step):
        draws = min(step, n - start)
        id_picks, ood_picks = (rng.integers(0, size, (draws, size)) for size in (n_id, n_ood))
        yield [model.counts(id_picks, ood_picks) for model in models]


def _metrics_of(counts: Counts, metrics: Sequence[str]) -> Draws:
    return {name: METRICS[name](counts) for name in metrics}


def _difference(pair: list[Counts], metrics: Sequence[str]) -> Draws:
    first, second = (_metrics_of(counts, metrics) for counts in pair)
    return {name: first[name] - second[name] for name in metrics}


def _gather(metrics: Sequence[str], parts: Iterator[Draws]) -> Draws:
    found = list(parts)
    return {name: np.concatenate([part[name] for part in found]) for name in metrics}


def _interval(value: float, draws: NDArray[np.float64], level: float, unit: str) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(100 * value, 100 * float(low), 100 * float(high), unit, level)


def _groups(scores: DetectionScores) -> Groups:
    inside = score_vector(scores.id, "ID scores")
    right = scores.correct
    right = None if right is None else flag_vector(right, len(inside), "correct")
    return Groups.of(inside, score_vector(scores.ood, "OOD scores"), right)


def _check(
    metrics: Sequence[str], n: int, level: float, models: tuple[DetectionScores, ...]
) -> None:
    check_share(level, "a level", "0.95")
    if n < 1:
        raise ConfigError("one draw or more", str(n), "1000 is the usual number")
    for name in metrics:
        if name not in METRICS:
            raise unknown_name("detection metric", name, METRICS)
    if "oscr" in metrics and any(m.correct is None for m in models):
        why = "OSCR counts right answers; set DetectionScores.correct"
        raise ShapeError("an OSCR", "scores without `correct`", why)
