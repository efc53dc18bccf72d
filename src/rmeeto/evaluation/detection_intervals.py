"""Bootstrap intervals of detection metrics, for one model and for two on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError, unknown_name
from .checks import check_draws, check_share, flag_vector, score_vector
from .detection import DetectionScores
from .estimates import Estimate
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
    check_share(level, "a level", "0.95")
    (found,) = detection_estimates((scores,), metrics, seed, n)
    return {name: each.interval("%", level) for name, each in found.items()}


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
    check_share(level, "a level", "0.95")
    first, second = detection_estimates((a, b), metrics, seed, n)
    return {name: (first[name] - second[name]).interval("pt", level) for name in metrics}


def detection_estimates(
    models: Sequence[DetectionScores],
    metrics: Sequence[str] = ("auroc", "fpr95_id_positive", "fpr95_ood_positive"),
    seed: int = 0,
    n: int = 1000,
    stream: int = 0,
) -> list[dict[str, Estimate]]:
    """Detection metrics of several models with draws that take the same images for all of them.

    Args:
        models: scores of each model, images in the same order.
        metrics, seed, n: as `detection_intervals`.
        stream: number of the OOD set. Calls of one seed resample the ID images alike, so that a
            mean over OOD sets keeps what they share; sets of other numbers are resampled apart.

    Returns:
        For each model one estimate a metric, fractions in [0, 1].

    Raises:
        ShapeError: numbers of images that differ, or what `detection_intervals` raises.
    """
    _check(metrics, n, models)
    groups = [_groups(model) for model in models]
    if len({(len(g.id), len(g.ood)) for g in groups}) > 1:
        raise ShapeError(
            "scores of two models on the same images",
            " and ".join(f"{len(g.id)} ID + {len(g.ood)} OOD" for g in groups),
            "pairs need equal lengths; keep the images that both results share (by their ids)",
        )
    parts = [
        [_metrics_of(c, metrics) for c in counts]
        for counts in _resamples(groups, (seed, stream), n)
    ]
    return [
        _estimates(_metrics_of(g.counts(), metrics), [part[k] for part in parts])
        for k, g in enumerate(groups)
    ]


def _estimates(values: Draws, parts: Sequence[Draws]) -> dict[str, Estimate]:
    return {
        name: Estimate(float(value[0]), np.concatenate([part[name] for part in parts]))
        for name, value in values.items()
    }


def _resamples(models: Sequence[Groups], seeds: tuple[int, int], n: int) -> Iterator[list[Counts]]:
    """Counts of each model for draw after draw, a few draws at a time; all models share the images."""
    id_rng, ood_rng = np.random.default_rng(seeds[0]), np.random.default_rng([1, *seeds])
    n_id, n_ood = len(models[0].id), len(models[0].ood)
    step = max(1, _CELLS // (n_id + n_ood))
    for start in range(0, n, step):
        draws = min(step, n - start)
        id_picks = id_rng.integers(0, n_id, (draws, n_id))
        ood_picks = ood_rng.integers(0, n_ood, (draws, n_ood))
        yield [model.counts(id_picks, ood_picks) for model in models]


def _metrics_of(counts: Counts, metrics: Sequence[str]) -> Draws:
    return {name: METRICS[name](counts) for name in metrics}


def _groups(scores: DetectionScores) -> Groups:
    inside = score_vector(scores.id, "ID scores")
    right = scores.correct
    right = None if right is None else flag_vector(right, len(inside), "correct")
    return Groups.of(inside, score_vector(scores.ood, "OOD scores"), right)


def _check(metrics: Sequence[str], n: int, models: Sequence[DetectionScores]) -> None:
    check_draws(n)
    for name in metrics:
        if name not in METRICS:
            raise unknown_name("detection metric", name, METRICS)
    if "oscr" in metrics and any(m.correct is None for m in models):
        why = "OSCR counts right answers; set DetectionScores.correct"
        raise ShapeError("an OSCR", "scores without `correct`", why)
