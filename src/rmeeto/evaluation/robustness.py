"""Errors under corruptions, for one model, against a reference and between two models.

Shifted test sets with labels of their own ("v2-like") need nothing from here: they are image sets
like any other, and `accuracies` of `predict` on them is the number to report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError, unknown_name
from .checks import check_draws, flag_vector
from .estimates import Estimate
from .intervals import Interval

_CELLS = 4_000_000  # resampling counts held at once: 32 MB


@dataclass(frozen=True, eq=False)
class CorruptionErrors:
    """Which images a model gets wrong, clean and under every corruption; the same images in all.

    Args:
        clean: (n,) booleans, n ≥ 1.
        wrong: name of a corruption → (severities, n) booleans; one or more corruptions.
        ids: (n,) positions in the source; None = 0..n−1. What is compared must share them.

    Raises:
        ShapeError: no corruption, or shapes that don't fit.
    """

    clean: NDArray[np.bool_]
    wrong: Mapping[str, NDArray[np.bool_]]
    ids: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = np.size(self.clean)
        flag_vector(self.clean, n, "clean errors")
        if not n or not self.wrong:
            why = "give one image and one corruption or more"
            raise ShapeError("errors under corruptions", f"{n} images, {[*self.wrong]}", why)
        for name, rows in self.wrong.items():
            if np.ndim(rows) != 2 or not len(rows):
                why = "give a row for each severity"
                raise ShapeError(f"{name}: (severities, {n})", str(np.shape(rows)), why)
            for row in rows:
                flag_vector(row, n, name)
        if self.ids is not None and np.shape(self.ids) != (n,):
            why = "one position for each image"
            raise ShapeError(f"{n} ids", str(np.shape(self.ids)), why)

    def per_image(self) -> NDArray[np.float64]:
        """(1 + corruptions, n): wrong when clean, then the share of severities that is wrong."""
        shares = [np.mean(np.asarray(rows, np.float64), axis=0) for rows in self.wrong.values()]
        return np.stack([np.asarray(self.clean, np.float64), *shares])

    def positions(self) -> NDArray[np.int64]:
        """(n,) ids."""
        return np.arange(len(self.clean)) if self.ids is None else np.asarray(self.ids)


Table = NDArray[np.float64]  # (draws, 1 + corruptions): mean errors, fractions


def _clean_error(own: Table, reference: Table) -> NDArray[np.float64]:
    return own[:, 0]


def _mean_error(own: Table, reference: Table) -> NDArray[np.float64]:
    return own[:, 1:].mean(1)


def _mce(own: Table, reference: Table) -> NDArray[np.float64]:
    return _ratio(own[:, 1:], reference[:, 1:])


def _relative_mce(own: Table, reference: Table) -> NDArray[np.float64]:
    return _ratio(own[:, 1:] - own[:, :1], reference[:, 1:] - reference[:, :1])


def _ratio(above: Table, below: Table) -> NDArray[np.float64]:
    """Mean of the ratios; NaN where a denominator is not positive."""
    ratios = np.where(below > 1e-12, above / np.where(below > 1e-12, below, 1), np.nan)
    return ratios.mean(1)


ROBUSTNESS: dict[str, Callable[[Table, Table], NDArray[np.float64]]] = {
    "clean_error": _clean_error,
    "mean_error": _mean_error,
    "mce": _mce,
    "relative_mce": _relative_mce,
}
"""Metric → function of (draws, 1 + corruptions) mean errors of a model and of the reference."""


def corruption_estimates(
    models: Sequence[CorruptionErrors],
    reference: CorruptionErrors,
    metrics: Sequence[str] = ("mean_error", "mce"),
    seed: int = 0,
    n: int = 1000,
) -> list[dict[str, Estimate]]:
    """Robustness of several models, with resamples that take the same images for all of them.

    Per corruption c the error ``E_c`` is the mean over severities and images; ``clean_error`` is that
    without any. Then ``mean_error = mean_c E_c``, ``mce = mean_c (Σ_s E_sc / Σ_s E_sc of the reference)`` and
    ``relative_mce = mean_c (Σ_s (E_sc − E_clean) / Σ_s (E_sc − E_clean) of the reference)``. The
    reference is resampled with the models, so it is exactly 100 % of itself.

    Args:
        models: of the same images and corruptions.
        reference: what 100 % is; one of the models, or another.
        metrics: names from `ROBUSTNESS`; each corruption's name gives its own error as well.
        seed: seed of the resampling of images.
        n: number of resamples.

    Returns:
        For each model one estimate a metric, fractions (1 = 100 %); lower is better. Resamples in
        which a corruption costs the reference nothing are left out of intervals.

    Raises:
        UnknownNameError: another metric. ConfigError: n < 1.
        ShapeError: other images or corruptions; a corruption that costs the reference nothing.

    Source: Hendrycks, Dietterich (arXiv:1903.12261) §4.1; differs in: the reference is the caller's
    instead of AlexNet's published errors, and intervals are ours.
    """
    _check(models, reference, metrics, n)
    *own, base = _draws([model.per_image() for model in (*models, reference)], seed, n)
    names = [*reference.wrong]
    return [{metric: _estimate(metric, table, base, names) for metric in metrics} for table in own]


def _estimate(metric: str, own: Table, base: Table, names: list[str]) -> Estimate:
    if metric in names:
        values = own[:, 1 + names.index(metric)]
    else:
        values = ROBUSTNESS[metric](own, base)
    if not np.isfinite(values[0]):
        cost = base[0, 1:] - (base[0, 0] if metric == "relative_mce" else 0)
        given = ", ".join(name for name, c in zip(names, cost, strict=True) if c <= 1e-12)
        why = "a ratio to nothing has no value; leave them out, or report mean_error"
        raise ShapeError(f"{metric}: corruptions that cost the reference something", given, why)
    return Estimate(float(values[0]), values[1:])


def corruption_intervals(
    model: CorruptionErrors,
    reference: CorruptionErrors,
    metrics: Sequence[str] = ("mean_error", "mce"),
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """`corruption_estimates` of one model as intervals in "%"."""
    (found,) = corruption_estimates((model,), reference, metrics, seed, n)
    return {name: each.interval("%", level) for name, each in found.items()}


def corruption_differences(
    a: CorruptionErrors,
    b: CorruptionErrors,
    reference: CorruptionErrors | None = None,
    metrics: Sequence[str] = ("mean_error", "mce"),
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Differences ``b − a`` over the same images, paired, in "pt"; positive means ``b`` errs more.

    Args:
        a, b: both models; ``reference`` is ``a`` where none is given.
        metrics, seed, n: as `corruption_estimates`.
        level: probability, in (0, 1).

    Raises:
        As `corruption_estimates`.
    """
    first, second = corruption_estimates((a, b), reference or a, metrics, seed, n)
    return {name: (second[name] - first[name]).interval("pt", level) for name in metrics}


def _draws(models: Sequence[NDArray[np.float64]], seed: int, n: int) -> list[Table]:
    """For each model's (rows, images): (1 + n, rows) means over all images, then each resample."""
    stacked, images = np.concatenate(models), models[0].shape[1]
    rng, parts = np.random.default_rng(seed), [stacked.mean(1)[None]]
    step = max(1, _CELLS // images)
    for start in range(0, n, step):
        counts = rng.multinomial(images, np.full(images, 1 / images), min(step, n - start))
        parts.append(counts @ stacked.T / images)
    return np.split(np.concatenate(parts), len(models), axis=1)


def _check(
    models: Sequence[CorruptionErrors], reference: CorruptionErrors, metrics: Sequence[str], n: int
) -> None:
    check_draws(n)
    for metric in metrics:
        if metric not in ROBUSTNESS and metric not in reference.wrong:
            raise unknown_name("robustness metric", metric, [*ROBUSTNESS, *reference.wrong])
    for model in models:
        if not np.array_equal(model.positions(), reference.positions()):
            given = f"{len(model.clean)} and {len(reference.clean)} images, or other ids"
            why = "keep the images that both results share (by their ids)"
            raise ShapeError("errors of two models on the same images", given, why)
        shapes = [{k: len(v) for k, v in m.wrong.items()} for m in (model, reference)]
        if list(shapes[0].items()) != list(shapes[1].items()):
            why = "measure both with the same names and severities, in one order"
            raise ShapeError("the same corruptions", f"{shapes[0]} and {shapes[1]}", why)
