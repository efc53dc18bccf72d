"""Light and colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Canvas, Pixels, Setting, corruption


@corruption("digital", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))
def brightness(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Daylight: HSV's value grows, hue and saturation stay; setting: by what.

    Source: arXiv:1903.12261 §3; differs in: a grey image, whose value is its only channel, is moved
    alike.
    """
    value = pixels.max(-1, keepdims=True)
    brighter = np.clip(value + setting[0], 0, 1)
    grown = pixels * brighter / np.maximum(value, 1e-9)
    return np.where(value > 0, grown, brighter)


@corruption("digital", (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
def contrast(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """``(x − mean) c + mean`` with each channel's mean; setting: c.

    Source: arXiv:1903.12261 §3.
    """
    mean = pixels.mean((0, 1), keepdims=True)
    return (pixels - mean) * setting[0] + mean


@corruption(
    "digital",
    ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    extra=True,
    colour=True,
)
def saturate(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """HSV's saturation times a factor plus a constant, hue and value kept; setting: both.

    Severities 1 and 2 take colour away, 3 to 5 add it, so that pixels do not change more and more.
    Grey pixels are red in HSV and turn reddish where the constant is above 0. Images of one channel
    are refused.

    Source: arXiv:1903.12261, appendix (extra corruptions).
    """
    factor, plus = setting
    value, span = pixels.max(-1, keepdims=True), np.ptp(pixels, -1, keepdims=True)
    saturation = span / np.maximum(value, 1e-9)
    wanted = np.clip(saturation * factor + plus, 0, 1)
    red = np.broadcast_to(np.array([0.0, 1.0, 1.0]), pixels.shape)
    hue: NDArray = np.where(span > 0, (value - pixels) / np.maximum(span, 1e-9), red)
    return value * (1 - wanted * hue)
