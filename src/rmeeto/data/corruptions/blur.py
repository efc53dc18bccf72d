"""Blur by the lens, by movement and by frosted glass."""

from __future__ import annotations

import math

import numpy as np

from .base import Canvas, Pixels, Setting, corruption
from .filters import (
    convolve,
    disc_kernel,
    enlarge,
    gaussian_kernel,
    line_kernel,
)


@corruption(
    "blur",
    ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.6), (1.5, 0.6)),
    ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
)
def defocus_blur(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Convolution with a disc, the shape of a lens out of focus; setting: its radius, its softness.

    Source: arXiv:1903.12261 §3; differs in: the disc's rim is weighted by the share inside and the
    whole is then smoothed by a Gaussian; the image is mirrored at its borders; the small severities
    4 and 5 are ours, which keeps them above 3 at any size.
    """
    radius, soft = (value * canvas.scale for value in setting)
    return convolve(convolve(pixels, disc_kernel(radius)), gaussian_kernel(soft))


@corruption(
    "blur",
    ((0.5, 1, 1), (0.4, 1, 1), (0.4, 1, 2), (0.4, 1, 3), (0.4, 2, 2)),
    ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    random=True,
)
def glass_blur(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Frosted glass: blur, neighbours change places, blur again; setting: σ, reach, rounds.

    Source: arXiv:1903.12261 §3; differs in: pixels of a round move at once instead of one after
    the other, so one may be seen twice; the small severities are ours.
    """
    sigma, reach, rounds = setting
    kernel = gaussian_kernel(sigma * canvas.scale)
    reach, (height, width) = (reach + 0.5) * canvas.scale, pixels.shape[:2]
    out, (rows, columns) = convolve(pixels, kernel), np.mgrid[:height, :width]
    for _ in range(int(rounds)):
        step = np.rint(canvas.rng.uniform(-reach, reach, (2, height, width))).astype(int)
        near = np.clip(rows + step[0], 0, height - 1), np.clip(columns + step[1], 0, width - 1)
        out = out[near]
    return convolve(out, kernel)


@corruption(
    "blur",
    ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    random=True,
)
def motion_blur(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """A moving camera: a streak within 45° of the horizontal; setting: its length, its spread σ.

    Source: arXiv:1903.12261 §3; differs in: the streak is drawn bilinearly and the image mirrored
    at its borders.
    """
    length, sigma = (value * canvas.scale for value in setting)
    angle = canvas.rng.uniform(-math.pi / 4, math.pi / 4)
    return convolve(pixels, line_kernel(length, sigma, angle))


@corruption(
    "blur",
    ((0.05, 0.01), (0.10, 0.01), (0.15, 0.01), (0.20, 0.01), (0.25, 0.01)),
    ((0.10, 0.01), (0.15, 0.01), (0.20, 0.02), (0.25, 0.02), (0.30, 0.03)),
)
def zoom_blur(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """A camera that moves ahead: the mean of ever larger images; setting: largest zoom − 1, step.

    Source: arXiv:1903.12261 §3; differs in: all zooms are bilinear about the exact centre.
    """
    most, step = setting
    factors = 1 + np.arange(0, most + step / 2, step)
    return np.mean([enlarge(pixels, factor) for factor in factors], 0)


@corruption("blur", (0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6), extra=True)
def gaussian_blur(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Convolution with a Gaussian; setting: its spread σ.

    Source: arXiv:1903.12261, appendix (extra corruptions); differs in: the image is mirrored at its
    borders.
    """
    return convolve(pixels, gaussian_kernel(setting[0] * canvas.scale))
