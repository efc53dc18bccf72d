"""Snow, fog and what splashes on the lens."""

from __future__ import annotations

import math

import numpy as np

from .base import Canvas, Pixels, Setting, corruption
from .filters import convolve, enlarge, gaussian_kernel, grey, line_kernel, paint, plasma

_WATER = (0.69, 0.93, 0.93)
_MUD = (0.25, 0.16, 0.08)


@corruption(
    "weather",
    ((0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
     (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
     (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)),
    ((0.1, 0.3, 3, 0.6, 10, 4, 0.85), (0.15, 0.3, 3, 0.6, 10, 4, 0.8),
     (0.2, 0.3, 3, 0.6, 12, 4, 0.75), (0.25, 0.3, 3.5, 0.6, 12, 8, 0.7),
     (0.3, 0.3, 4, 0.6, 12, 8, 0.6)),
    random=True,
)  # fmt: skip
def snow(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Falling flakes before a paler picture.

    Settings: mean and spread of the noise that flakes are cut from, their size, the level of the
    cut, length and spread of their streaks, and how much of the picture's colour stays.

    Source: arXiv:1903.12261 §3; differs in: two layers of flakes are drawn apart, each with a wind of
    its own; streaks are drawn by our own kernel, a flake's size grows with the image, and the paler
    picture is half way between its grey and white; the large severities are ours.
    """
    keep = setting[6]
    pale = keep * pixels + (1 - keep) * (0.5 + 0.5 * grey(pixels))
    shape = (pixels.shape[0], pixels.shape[1], 1)
    return pale + _flakes(shape, setting, canvas) + _flakes(shape, setting, canvas)


def _flakes(shape: tuple[int, int, int], setting: Setting, canvas: Canvas) -> Pixels:
    """One layer of snow, (H, W, 1) ≥ 0."""
    mean, spread, size, level, length, sigma, _ = setting
    noise = enlarge(canvas.rng.normal(mean, spread, shape), max(1.0, size * canvas.scale))
    flakes = np.clip(np.where(noise < level, 0, noise), 0, 1)
    angle = canvas.rng.uniform(math.pi / 4, 3 * math.pi / 4)
    return convolve(flakes, line_kernel(length * canvas.scale, sigma * canvas.scale, angle))


@corruption(
    "weather",
    ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    random=True,
)
def fog(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Clouds of the diamond-square algorithm over the picture; setting: density, smoothness.

    ``(x + a f) / (1 + a)`` with clouds f in [0, 1] and density a.

    Source: arXiv:1903.12261 §3; differs in: the clouds are periodic, and full fog over white is white.
    """
    density, decay = setting
    height, width, _ = pixels.shape
    clouds = plasma(height, width, decay, canvas.rng)[..., None]
    return (pixels + density * clouds) / (1 + density)


@corruption(
    "weather",
    ((0.05, 0.5, 0), (0.08, 0.55, 0), (0.12, 0.6, 0), (0.32, 0.85, 1), (0.45, 0.9, 1)),
    ((0.05, 0.6, 0), (0.08, 0.65, 0), (0.12, 0.7, 0), (0.32, 0.9, 1), (0.45, 1.0, 1)),
    extra=True,
    random=True,
)
def spatter(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Drops of water, or mud at severities 4 and 5; setting: share covered, opacity, mud or not.

    Source: arXiv:1903.12261, appendix (extra corruptions); differs in: drops are cut from smooth
    noise and filled with one colour, without highlights; the severities are ours.
    """
    share, opacity, mud = setting
    noise = canvas.rng.standard_normal((*pixels.shape[:2], 1))
    smooth = convolve(noise, gaussian_kernel(1.2 * max(0.5, canvas.scale)))
    level, spread = np.quantile(smooth, 1 - share), max(float(smooth.std()), 1e-9)
    cover = opacity * np.clip(0.5 + 2 * (smooth - level) / spread, 0, 1)
    return pixels + cover * (paint(_MUD if mud else _WATER, pixels.shape[2]) - pixels)
