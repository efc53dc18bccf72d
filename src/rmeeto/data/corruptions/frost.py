"""Frost on the window, drawn instead of photographed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Canvas, Pixels, Setting, corruption
from .filters import convolve, line_kernel, paint, plasma

_ICE = (0.88, 0.96, 1.0)
_POINTS = 0.02  # crystals for each pixel of the image that the settings are made for


@corruption(
    "weather",
    ((1, 0.2), (1, 0.3), (0.97, 0.4), (0.94, 0.5), (0.9, 0.6)),
    ((1, 0.4), (0.95, 0.5), (0.9, 0.6), (0.88, 0.72), (0.85, 0.85)),
    random=True,
)
def frost(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """``a x + b ice``; setting: a, the share of the picture, and b, that of the ice.

    Source: arXiv:1903.12261 §3; differs in: the paper lays photographs of frosted windows over the
    picture. Here the ice is made of six-armed crystals on ridges of clouds, so that no file is
    needed; it is more even than a photograph, the severities are ours, and errors under it can't be
    compared with those of the paper.
    """
    keep, share = setting
    height, width, channels = pixels.shape
    ice = _texture(height, width, canvas)[..., None] * paint(_ICE, channels)
    return keep * pixels + share * ice


def _texture(height: int, width: int, canvas: Canvas) -> NDArray[np.float64]:
    """Ice (height, width) in [0, 1]: ridges of clouds, and crystals that lie along three axes."""
    clouds = plasma(height, width, 1.7, canvas.rng)
    ridges = 1 - np.abs(2 * clouds - 1)
    points = canvas.rng.random((height, width)) < _POINTS / max(canvas.scale, 0.25) ** 2
    length, turn = 6 * canvas.scale, canvas.rng.uniform(0, math.pi / 3)
    arms = [
        convolve(points[..., None].astype(np.float64), line_kernel(length, length / 2, turn + a))
        for a in np.arange(6) * math.pi / 3
    ]
    crystals = np.sum(arms, 0)[..., 0]
    crystals = crystals / max(float(crystals.max()), 1e-9)
    return np.clip(0.2 + 0.5 * ridges**2 + 0.6 * np.sqrt(np.clip(crystals, 0, None)), 0, 1)
