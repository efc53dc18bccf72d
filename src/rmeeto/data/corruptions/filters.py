"""What corruptions are made of: convolution, blur kernels, sampling, clouds and colours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Pixels

Kernel = NDArray[np.float64]  # (2k+1, 2k+1), sums to 1
Field = NDArray[np.float64]  # (H, W)

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def convolve(pixels: Pixels, kernel: Kernel) -> Pixels:
    """(H, W, C) filtered with an odd square kernel; the image is mirrored at its borders."""
    reach = kernel.shape[0] // 2
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * np.fft.rfft2(kernel, shape)[..., None]
    full = np.fft.irfft2(spectrum, shape, axes=(0, 1))
    return full[2 * reach :, 2 * reach :]


def gaussian_kernel(sigma: float) -> Kernel:
    """Gaussian of the given spread in pixels, cut at 4 spreads."""
    reach = max(1, math.ceil(4 * sigma))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    line /= line.sum()
    return np.outer(line, line)


def disc_kernel(radius: float) -> Kernel:
    """Disc of the given radius in pixels; a pixel at its rim counts with about its share inside."""
    reach = max(1, math.ceil(radius))
    steps = np.arange(-reach, reach + 1)
    disc = np.clip(radius + 0.5 - np.hypot(steps[:, None], steps), 0, 1)
    return disc / disc.sum()


def line_kernel(length: float, sigma: float, angle: float) -> Kernel:
    """A streak from the centre in one direction, fading as a Gaussian.

    Args:
        length: of the streak, pixels.
        sigma: spread of the Gaussian, pixels.
        angle: direction, radians.
    """
    reach = max(1, math.ceil(length) + 1)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    along = np.linspace(0, length, 4 * reach)
    weight = np.exp(-0.5 * (along / max(sigma, 1e-6)) ** 2)
    rows, columns = reach + along * math.sin(angle), reach + along * math.cos(angle)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    for row, share_r in ((top, 1 - down), (top + 1, down)):
        for column, share_c in ((left, 1 - right), (left + 1, right)):
            np.add.at(kernel, (row, column), weight * share_r * share_c)
    return kernel / kernel.sum()


def sample(pixels: Pixels, rows: Field, columns: Field, black: bool = False) -> Pixels:
    """Bilinear values at positions given in pixels, (0, 0) being the centre of the first.

    Args:
        pixels: (H, W, C).
        rows, columns: (H', W') positions, any finite values.
        black: pixels outside count as 0; else as the nearest at the border.

    Returns:
        (H', W', C).
    """
    height, width = pixels.shape[:2]
    rows, columns = np.clip(rows, -2, height + 1), np.clip(columns, -2, width + 1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    out = np.zeros((*rows.shape, pixels.shape[2]))
    for row, share_r in ((top, 1 - down), (top + 1, down)):
        for column, share_c in ((left, 1 - right), (left + 1, right)):
            share = share_r * share_c
            if black:
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                share = share * inside
            near = pixels[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
            out += share[..., None] * near
    return out


def grid(height: int, width: int) -> tuple[Field, Field]:
    """Row and column numbers of every pixel, (H, W) each."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    return rows, columns


def enlarge(pixels: Pixels, factor: float) -> Pixels:
    """The middle of (H, W, C), ``factor`` times as large, in the same shape."""
    height, width, _ = pixels.shape
    rows, columns = grid(height, width)
    middle_r, middle_c = (height - 1) / 2, (width - 1) / 2
    rows = (rows - middle_r) / factor + middle_r
    columns = (columns - middle_c) / factor + middle_c
    return sample(pixels, rows, columns)


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> Field:
    """Clouds in [0, 1] by the diamond-square algorithm.

    Args:
        height, width: size, pixels.
        decay: by what amplitude falls from one scale to the next, > 1; larger is smoother.
        rng: draws the clouds.

    Returns:
        (height, width), smallest value 0, largest 1 over the square it is cut from.

    Source: Fournier, Fussell, Carpenter, "Computer rendering of stochastic models" (1982); differs
    in: periodic, so no corner has to be chosen.
    """
    side = 1 << max(1, (max(height, width) - 1).bit_length())
    field, step, wobble = np.zeros((side, side)), side, 1.0
    while step > 1:
        half, count = step // 2, side // step
        draw = rng.uniform(-wobble, wobble, (3, count, count))
        corner = field[::step, ::step]
        pair = corner + np.roll(corner, -1, 1)
        middle = (pair + np.roll(pair, -1, 0)) / 4 + draw[0]
        across = (pair + middle + np.roll(middle, 1, 0)) / 4 + draw[1]
        down = (corner + np.roll(corner, -1, 0) + middle + np.roll(middle, 1, 1)) / 4 + draw[2]
        field[half::step, half::step] = middle
        field[::step, half::step], field[half::step, ::step] = across, down
        step, wobble = half, wobble / decay
    field -= field.min()
    return (field / max(field.max(), 1e-12))[:height, :width]


def grey(pixels: Pixels) -> Pixels:
    """Brightness (H, W, 1) of (H, W, C)."""
    return pixels if pixels.shape[2] == 1 else (pixels @ _LUMA)[..., None]


def paint(colour: tuple[float, float, float], channels: int) -> NDArray[np.float64]:
    """An RGB colour in [0, 1] as (channels,): its brightness where there is one channel."""
    return np.array(colour) if channels == 3 else np.array([float(np.array(colour) @ _LUMA)])
