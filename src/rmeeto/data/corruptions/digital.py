"""Elastic shifts, coarse pixels and JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .base import Canvas, Pixels, Setting, corruption
from .filters import convolve, gaussian_kernel, grid, sample


@corruption(
    "digital",
    ((0.4, 2.5, 0.01), (0.6, 2.2, 0.02), (0.8, 2, 0.03), (1, 1.8, 0.04), (1.2, 1.6, 0.05)),
    ((2, 12, 0.01), (3, 11, 0.02), (4, 10, 0.03), (5, 9, 0.04), (6, 8, 0.05)),
    random=True,
)
def elastic_transform(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Small regions are stretched; setting: typical shift, smoothness σ (pixels), affine share.

    Source: arXiv:1903.12261 §3 and Simard, Steinkraus, Platt, "Best practices for convolutional
    neural networks" (2003); differs in: shifts have the stated root mean square, the affine part is
    a random matrix, and the severities are ours, rising in strength.
    """
    shift, sigma, share = setting
    height, width, _ = pixels.shape
    noise = canvas.rng.standard_normal((height, width, 2))
    moves = convolve(noise, gaussian_kernel(sigma * canvas.scale))
    moves *= shift * canvas.scale / np.maximum(np.sqrt((moves**2).mean((0, 1))), 1e-9)
    affine = share * canvas.rng.uniform(-1, 1, (2, 2))
    rows, columns = grid(height, width)
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    rows = rows + moves[..., 0] + affine[0, 0] * y + affine[0, 1] * x
    columns = columns + moves[..., 1] + affine[1, 0] * y + affine[1, 1] * x
    return sample(pixels, rows, columns)


@corruption("digital", (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))
def pixelate(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """A smaller image, enlarged without smoothing; setting: the share of the side.

    Source: arXiv:1903.12261 §3; differs in: Pillow's box filter resizes both ways, so that enlarged
    pixels whose edges fall inside a pixel are mixed there.
    """
    height, width, _ = pixels.shape
    size = (max(1, int(width * setting[0])), max(1, int(height * setting[0])))
    picture = _picture(pixels).resize(size, Image.Resampling.BOX)
    return _pixels(picture.resize((width, height), Image.Resampling.BOX))


@corruption("digital", (80, 65, 58, 50, 40), (25, 18, 15, 10, 7))
def jpeg_compression(pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    """Saved and read again as JPEG; setting: Pillow's quality.

    Source: arXiv:1903.12261 §3; bytes may differ between versions of the JPEG library.
    """
    store = io.BytesIO()
    _picture(pixels).save(store, "JPEG", quality=int(setting[0]))
    with Image.open(store) as picture:
        return _pixels(picture)


def _picture(pixels: Pixels) -> Image.Image:
    values = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _pixels(picture: Image.Image) -> Pixels:
    values = np.asarray(picture, np.float64) / 255
    return values[..., None] if values.ndim == 2 else values
