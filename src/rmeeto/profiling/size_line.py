"""Gain over the size line: is a reduced model better than an unreduced one of the same cost?

The line joins the unreduced sizes of a family in the (FLOPs, accuracy) plane. A reduced model on
or below it saves nothing that choosing a smaller sibling would not have saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..evaluation.intervals import Interval, bootstrap

Accuracy = float | Interval

VIM_IMAGENET: tuple[tuple[float, float], ...] = ((1.45, 76.1), (5.08, 80.5), (18.87, 81.9))
"""Published Vim Ti, S, B: (GMACs one direction, ImageNet-1k top-1 in percent)."""

DEIT_IMAGENET: tuple[tuple[float, float], ...] = ((1.26, 72.2), (4.61, 79.8), (17.58, 81.8))
"""Published DeiT Ti, S, B: (GMACs, ImageNet-1k top-1 in percent)."""


@dataclass(frozen=True)
class SizeLineGain:
    """Accuracy above the size line, in percentage points, or the reason why there is none.

    Args:
        gain: point minus line; None outside the line's range.
        line: accuracy of the hypothetical unreduced model of the same FLOPs, percent.
        interval: around ``gain``, when the accuracies came with intervals or images.
        reason: why ``gain`` is None, else empty.
    """

    gain: float | None
    line: float | None
    interval: Interval | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.gain is None:
            return f"no gain over the size line: {self.reason}"
        return str(self.interval) if self.interval else f"{self.gain:+.2f} pt"


def gain_over_size_line(
    family: Sequence[tuple[float, Accuracy]], point: tuple[float, Accuracy]
) -> SizeLineGain:
    """Accuracy of ``point`` minus the piecewise linear line through ``family``.

    ``line(f) = (1 − w) · a_i + w · a_{i+1}``, ``w = (f − f_i) / (f_{i+1} − f_i)``.

    Args:
        family: (FLOPs, accuracy in percent) of the unreduced sizes, two or more, any order.
        point: (FLOPs, accuracy in percent) of the reduced model, FLOPs in the same convention.
            Accuracies may be `Interval`s; half-widths then add in quadrature as if independent,
            which is too wide when all models saw the same images: see `paired_gain`.

    Returns:
        The gain; None with a reason below the smallest and above the largest size.

    Raises:
        ConfigError: fewer than two sizes, or two of the same FLOPs.
    """
    flops, accuracy = point
    weights, reason = _weights([f for f, _ in family], flops)
    if weights is None:
        return SizeLineGain(None, None, reason=reason)
    parts = [(1.0, accuracy), *((-w, family[i][1]) for i, w in weights)]
    interval = _combine(parts) if any(isinstance(a, Interval) for _, a in parts) else None
    line = sum(w * _value(family[i][1]) for i, w in weights)
    return SizeLineGain(_value(accuracy) - line, line, interval)


def paired_gain(
    family: Sequence[tuple[float, ArrayLike]], point: tuple[float, ArrayLike], seed: int = 0
) -> SizeLineGain:
    """`gain_over_size_line` from per-image correctness on the same images, by paired bootstrap.

    The gain is a mean over images of ``c − (1 − w) · c_i − w · c_{i+1}``, so images are resampled
    with all models together and what the models share cancels.

    Args:
        family, point: as in `gain_over_size_line`, with (n,) booleans in place of accuracies.
        seed: seed of the bootstrap.
    """
    weights, reason = _weights([f for f, _ in family], point[0])
    if weights is None:
        return SizeLineGain(None, None, reason=reason)
    line = sum(w * np.asarray(family[i][1], dtype=np.float64) for i, w in weights)
    difference = np.asarray(point[1], dtype=np.float64) - line
    interval = bootstrap(difference, seed, unit="pt")
    return SizeLineGain(interval.value, 100.0 * float(np.mean(line)), interval)


def _weights(sizes: Sequence[float], flops: float) -> tuple[list[tuple[int, float]] | None, str]:
    """(index, weight) of the two neighbouring sizes, or None and the reason."""
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    if len(set(sizes)) < max(2, len(sizes)):
        raise ConfigError(
            "a family of two or more sizes of different FLOPs",
            str(sorted(sizes)),
            "give each unreduced size once",
        )
    if flops < min(sizes):
        return None, f"{flops:g} is below the smallest size, {min(sizes):g}: no smaller sibling"
    for i, j in pairwise(order):
        if flops <= sizes[j]:
            w = (flops - sizes[i]) / (sizes[j] - sizes[i])
            return [(i, 1 - w), (j, w)], ""
    return None, f"{flops:g} is above the largest size, {max(sizes):g}: no larger sibling"


def _combine(parts: Sequence[tuple[float, Accuracy]]) -> Interval:
    """Σ weight · accuracy, half-widths in quadrature (a negative weight swaps low and high)."""
    value = sum(w * _value(a) for w, a in parts)
    below = above = 0.0
    for w, a in parts:
        if isinstance(a, Interval):
            down, up = a.value - a.low, a.high - a.value
            below += (w * (down if w > 0 else up)) ** 2
            above += (w * (up if w > 0 else down)) ** 2
    return Interval(value, value - math.sqrt(below), value + math.sqrt(above), "pt")


def _value(accuracy: Accuracy) -> float:
    return accuracy.value if isinstance(accuracy, Interval) else float(accuracy)
