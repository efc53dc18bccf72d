"""What a camera sees before any model: sharpness, brightness and contrast of raw images.

A detector that does no better than these tells image quality apart, not content.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .preprocessing import as_image
from .sources import ImageSource

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 (H, W[, C]) as brightness (H, W) in [0, 1]."""
    pixels = as_image(image).astype(np.float64) / 255
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels @ _LUMA


def sharpness(light: NDArray[np.float64]) -> float:
    """Variance of the Laplacian of (H, W) brightness; 0 where a side has fewer than 3 pixels."""
    if min(light.shape) < 3:
        return 0.0
    inner = light[1:-1, 1:-1]
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float((around - 4 * inner).var())


LOW_LEVEL: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "sharpness": sharpness,
    "brightness": lambda light: float(light.mean()),
    "contrast": lambda light: float(light.std()),
}
"""Name → function of (H, W) brightness in [0, 1]."""


def low_level(source: ImageSource) -> dict[str, NDArray[np.float64]]:
    """Every `LOW_LEVEL` number of every readable image of a source.

    Returns:
        Name → (n,) in the source's order; images that can't be decoded are left out.
    """
    rows = []
    for index in range(len(source)):
        try:
            light = luma(source.image(index))
        except DataError:
            continue
        rows.append([measure(light) for measure in LOW_LEVEL.values()])
    table = np.array(rows).reshape(len(rows), len(LOW_LEVEL))
    return dict(zip(LOW_LEVEL, table.T, strict=True))
