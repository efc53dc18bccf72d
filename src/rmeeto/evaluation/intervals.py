"""Intervals: bootstrap over images, paired bootstrap, Wilson's score, Student's t over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError, ShapeError

_SCALE = {"%": 100.0, "pt": 100.0}  # shown in percent or percentage points, given as fractions
_FEW = 64  # up to this many distinct values, counts are resampled instead of images


@dataclass(frozen=True)
class Interval:
    """A value with the interval it lies in.

    Args:
        value: the estimate, in ``unit`` ("%" holds percent: 91.2, not 0.912).
        low, high: ends of the interval, same unit.
        unit: "%", "pt" (percentage points), "×", "s", "MiB" or "" for a bare number.
        level: probability that the interval is made for.
    """

    value: float
    low: float
    high: float
    unit: str = ""
    level: float = 0.95

    def __str__(self) -> str:
        digits = 1 if self.unit == "%" else 2
        sign = "+" if self.unit == "pt" else ""
        unit = f" {self.unit}" if self.unit else ""
        value, low, high = (f"{x:{sign}.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value}{unit} [{low}, {high}]"

    @property
    def width(self) -> float:
        """High minus low, same unit."""
        return self.high - self.low

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval."""
        return not self.low <= value <= self.high


def bootstrap(
    values: ArrayLike, seed: int = 0, n: int = 2000, level: float = 0.95, unit: str = "%"
) -> Interval:
    """Mean of per-image values with its percentile bootstrap interval.

    Images are resampled with replacement. Few distinct values (right or wrong) need only their
    counts, which are multinomial: exactly the same distribution at a fraction of the work.

    Args:
        values: (n,) per-image values; fractions when ``unit`` is "%" or "pt" (booleans are).
        seed: seed of the resampling.
        n: number of resamples.
        level: probability, in (0, 1).
        unit: unit of the result; "%" and "pt" multiply by 100.

    Returns:
        Mean and interval in ``unit``. When all values are equal the interval has no width: use
        `wilson` where 0 % or 100 % can happen.

    Raises:
        ShapeError: no values, not one axis, or values that are not finite.
    """
    values = _vector(values, "values")
    scale = _SCALE.get(unit, 1.0)
    means = _resampled_means(values, np.random.default_rng(seed), n) * scale
    low, high = _percentiles(means, level)
    return Interval(float(values.mean() * scale), low, high, unit, level)


def paired_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    seed: int = 0,
    n: int = 2000,
    level: float = 0.95,
    unit: str = "pt",
) -> Interval:
    """Mean of ``a − b`` over the same images, with a bootstrap that keeps the pairs together.

    Args:
        correct_a, correct_b: (n,) per-image values in the same order of images.
        seed, n, level, unit: as in `bootstrap`; positive means that ``a`` is larger.

    Returns:
        Mean difference and its interval.

    Raises:
        ShapeError: lengths that differ, or what `bootstrap` raises.
    """
    a, b = _vector(correct_a, "a"), _vector(correct_b, "b")
    if a.shape != b.shape:
        raise ShapeError(
            "two results on the same images",
            f"{len(a)} and {len(b)} values",
            "pairs need equal lengths; keep the images that both results share (by their ids)",
        )
    return bootstrap(a - b, seed, n, level, unit)


def bootstrap_median(
    values: ArrayLike, seed: int = 0, n: int = 2000, level: float = 0.95, unit: str = ""
) -> Interval:
    """Median of repeated measurements with its bootstrap interval (arguments as `bootstrap`)."""
    values = _vector(values, "values")
    scale = _SCALE.get(unit, 1.0)
    picks = np.random.default_rng(seed).integers(0, len(values), (n, len(values)))
    low, high = _percentiles(np.median(values[picks], axis=1) * scale, level)
    return Interval(float(np.median(values) * scale), low, high, unit, level)


def wilson(correct: ArrayLike, level: float = 0.95, unit: str = "%") -> Interval:
    """Share of right answers with Wilson's score interval, which keeps a width at 0 % and 100 %.

    Args:
        correct: (n,) booleans.
        level: probability, in (0, 1).
        unit: "%" multiplies by 100.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    values = _vector(correct, "values")
    n, p, z = len(values), float(values.mean()), NormalDist().inv_cdf((1 + level) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = _SCALE.get(unit, 1.0)
    low, high = max(0.0, centre - half) * scale, min(1.0, centre + half) * scale
    return Interval(p * scale, low, high, unit, level)


def mean_and_interval(values: Sequence[float], level: float = 0.95, unit: str = "%") -> Interval:
    """Mean over seeds with Student's t interval, ``mean ± t(level, n − 1) · s / √n``.

    Args:
        values: one result per seed, already in ``unit`` (percent stays percent).
        level: probability, in (0, 1).
        unit: unit of the values, carried to the result.

    Raises:
        ShapeError: fewer than two seeds.
    """
    x = _vector(values, "values")
    if len(x) < 2:
        raise ShapeError(
            "an interval over seeds",
            "one value",
            "one seed shows no spread; run two or more, or use `bootstrap` over images",
        )
    mean, half = x.mean(), t_quantile(level, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))
    return Interval(float(mean), float(mean - half), float(mean + half), unit, level)


def t_quantile(level: float, df: int) -> float:
    """The t that has ``level`` of Student's distribution with ``df`` degrees of freedom within ±t.

    Source: Abramowitz & Stegun 26.7.3 and 26.7.4, closed form for whole ``df``; inverted by
    bisection.
    """
    _check_level(level)
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_mass(middle, df) < level else (low, middle)
    return math.sqrt(df) * math.tan(low)


def _t_mass(angle: float, df: int) -> float:
    """Mass of Student's t within ±√df · tan(angle)."""
    sin, cos = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = (cos if odd else 1.0), 0.0
    for k in range(1 + odd, df, 2):
        total += term
        term *= cos * cos * k / (k + 1)
    return (angle + sin * total) * 2 / math.pi if odd else sin * total


def _resampled_means(values: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW:
        return rng.multinomial(len(values), counts / len(values), size=n) @ distinct / len(values)
    picks = (rng.integers(0, len(values), len(values)) for _ in range(n))
    return np.array([values[pick].mean() for pick in picks])


def _percentiles(draws: np.ndarray, level: float) -> tuple[float, float]:
    _check_level(level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError("a level between 0 and 1", str(level), "0.95 is the usual one")


def _vector(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ShapeError(
            f"{name}: one finite number per image",
            f"shape {array.shape}",
            "give a vector with at least one value and without NaN",
        )
    return array
