"""Numbers that keep their bootstrap draws, so that differences and means keep what draws share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .checks import check_draws, check_share
from .intervals import Interval

_SCALE = {"%": 100.0, "pt": 100.0}


@dataclass(frozen=True, eq=False)
class Estimate:
    """A statistic of a set of images and of its resamples.

    Estimates of one seed and one set of images subtract draw by draw: the interval of their
    difference is paired.
    """

    value: float
    """On the images themselves."""
    draws: NDArray[np.float64]
    """(n,) on the resamples."""

    def __sub__(self, other: Estimate) -> Estimate:
        if len(self.draws) != len(other.draws):
            given = f"{len(self.draws)} and {len(other.draws)} draws"
            raise ShapeError("the difference of two estimates", given, "use one number of draws")
        return Estimate(self.value - other.value, self.draws - other.draws)

    @classmethod
    def mean(cls, parts: Sequence[Self]) -> Estimate:
        """The unweighted mean of estimates, draw by draw.

        Raises:
            ShapeError: no estimates, or numbers of draws that differ.
        """
        if len({len(part.draws) for part in parts}) != 1:
            given = f"{len(parts)} estimates"
            raise ShapeError("the mean of estimates", given, "give one or more, of equal draws")
        values = [part.value for part in parts]
        return cls(float(np.mean(values)), np.mean([part.draws for part in parts], axis=0))

    def interval(self, unit: str = "", level: float = 0.95) -> Interval:
        """Value and percentile interval; units "%" and "pt" multiply by 100.

        Draws in which the statistic is not defined (NaN) are left out.

        Raises:
            ConfigError: a level out of (0, 1).
        """
        check_share(level, "a level", "0.95")
        known = self.draws[np.isfinite(self.draws)]
        known = known if len(known) else np.full(1, np.nan)
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        scale = _SCALE.get(unit, 1.0)
        return Interval(scale * self.value, scale * float(low), scale * float(high), unit, level)


def estimate(
    statistic: Callable[[NDArray[np.int64]], float], images: int, seed: int = 0, n: int = 1000
) -> Estimate:
    """Bootstrap any statistic of a set of images.

    Args:
        statistic: (images,) positions, with repeats → the statistic of those images.
        images: number of images, ≥ 1.
        seed: seed of the resampling; equal seeds and numbers of images give equal resamples.
        n: number of resamples.

    Returns:
        The statistic of all images, with its draws.

    Raises:
        ConfigError: n < 1.

    Example:
        >>> right = np.array([True, False, True, True])
        >>> estimate(lambda picks: right[picks].mean(), 4, n=10).value
        0.75
    """
    check_draws(n)
    rng, everything = np.random.default_rng(seed), np.arange(images)
    draws = [float(statistic(rng.integers(0, images, images))) for _ in range(n)]
    return Estimate(float(statistic(everything)), np.array(draws))
