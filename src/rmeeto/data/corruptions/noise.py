"""Noise of sensors and transmission."""

from __future__ import annotations

import numpy as np

from .base import Canvas, Pixels, Setting, corruption


@corruption("noise", (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38), random=True)
def gaussian_noise(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """``x + σ n``, n standard normal for every channel of every pixel; setting: σ.

    Source: arXiv:1903.12261 §3; differs in: random numbers.
    """
    return pixels + setting[0] * canvas.rng.standard_normal(pixels.shape)


@corruption("noise", (500, 250, 100, 75, 50), (60, 25, 12, 5, 3), random=True)
def shot_noise(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """``Poisson(λ x) / λ``: light arrives in photons; setting: λ, photons for white.

    Source: arXiv:1903.12261 §3; differs in: random numbers.
    """
    return canvas.rng.poisson(pixels * setting[0]) / setting[0]


@corruption("noise", (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27), random=True)
def impulse_noise(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Salt and pepper: a share of the values turns white or black; setting: that share.

    Source: arXiv:1903.12261 §3; differs in: random numbers.
    """
    hit = canvas.rng.random(pixels.shape) < setting[0]
    salt = canvas.rng.random(pixels.shape) < 0.5
    return np.where(hit, salt.astype(np.float64), pixels)


@corruption(
    "noise",
    (0.06, 0.10, 0.12, 0.16, 0.20),
    (0.15, 0.20, 0.35, 0.45, 0.60),
    extra=True,
    random=True,
)
def speckle_noise(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """``x + x σ n``: noise that grows with brightness; setting: σ.

    Source: arXiv:1903.12261, appendix (extra corruptions); differs in: random numbers.
    """
    return pixels + pixels * setting[0] * canvas.rng.standard_normal(pixels.shape)
