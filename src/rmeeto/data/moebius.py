"""Perspective distortion by Möbius transformations of the image plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError, unknown_name
from .corruptions.base import CORRUPTIONS, Canvas, Corruption, Pixels, Setting
from .corruptions.filters import grid, sample

Complex = NDArray[np.complex128]

FILLS = ("black", "edge")
DIRECTIONS: dict[str, complex] = {
    "left": 1,
    "right": -1,
    "top": 1j,
    "bottom": -1j,
    "left_top": (1 + 1j) / 2**0.5,
    "left_bottom": (1 - 1j) / 2**0.5,
    "right_top": (-1 + 1j) / 2**0.5,
    "right_bottom": (-1 - 1j) / 2**0.5,
}
"""Which side or corner comes nearer → c for strength 1."""

_STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
_LIMIT = 0.7  # at 1/√2 a corner of the image would lie at the pole


@dataclass(frozen=True)
class Moebius:
    """``z → (a z + b) / (c z + d)`` on complex numbers; the identity by default.

    Raises:
        ConfigError: a d = b c, which maps everything to one point.
    """

    a: complex = 1
    b: complex = 0
    c: complex = 0
    d: complex = 1

    def __post_init__(self) -> None:
        if abs(self.a * self.d - self.b * self.c) < 1e-12:
            why = "the map is not one-to-one; a = d = 1, b = 0 and |c| < 0.7 is a perspective"
            raise ConfigError("a Möbius transformation", f"a d − b c = 0 in {self}", why)

    def __call__(self, z: Complex) -> Complex:
        """The images of points z, any shape; not finite at the pole."""
        return (self.a * z + self.b) / (self.c * z + self.d)

    def inverse(self) -> Moebius:
        """The transformation that undoes this one."""
        return Moebius(self.d, -self.b, -self.c, self.a)


def moebius(image: NDArray[np.uint8], transform: Moebius, fill: str = "edge") -> NDArray[np.uint8]:
    """An image whose plane is mapped by a Möbius transformation, sampled bilinearly.

    The centre is 0, the real axis points right, the imaginary axis up, and the longer side runs from
    −1 to 1.

    Args:
        image: uint8 (H, W, C), C 1 or 3.
        transform: where every point of the image goes.
        fill: what is seen where no point goes: "edge" repeats the border, "black" is 0.

    Returns:
        uint8 (H, W, C).

    Raises:
        UnknownNameError: another fill. ShapeError: not such an image.
    """
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] not in (1, 3) or not image.size:
        why = "store bytes 0..255, channels last"
        given = f"{image.dtype} {image.shape}"
        raise ShapeError("an image as uint8 (H, W, C) with 1 or 3 channels", given, why)
    out = _warp(image.astype(np.float64), transform, fill)
    return np.rint(np.clip(out, 0, 255)).astype(np.uint8)


def perspective(
    image: NDArray[np.uint8], direction: str, strength: float, fill: str = "edge"
) -> NDArray[np.uint8]:
    """An image seen from an angle: one side or corner nearer, ``z → z / (c z + 1)``.

    Args:
        image: uint8 (H, W, C), C 1 or 3.
        direction: which side comes nearer, a name from `DIRECTIONS`.
        strength: |c| in [0, 0.7); 0 changes nothing.
        fill: as `moebius`.

    Raises:
        UnknownNameError: another direction or fill. ConfigError: a strength out of range.

    Source: Chhipa et al., "Möbius transform for mitigating perspective distortions in representation
    learning" (arXiv:2405.02296): the real part of c distorts left or right, the imaginary part top
    or bottom; differs in: which strengths are used, the scale of the plane, and the signs, chosen
    so that the named side is the enlarged one.
    """
    return moebius(image, Moebius(c=_c(direction, strength)), fill)


def _c(direction: str, strength: float) -> complex:
    if direction not in DIRECTIONS:
        raise unknown_name("direction", direction, DIRECTIONS)
    if not 0 <= strength < _LIMIT:
        why = "beyond, the pole comes into the image; 0.1 to 0.5 are the severities"
        raise ConfigError("a strength from 0 to below 0.7", repr(strength), why)
    return DIRECTIONS[direction] * strength


def _warp(pixels: Pixels, transform: Moebius, fill: str) -> Pixels:
    if fill not in FILLS:
        raise unknown_name("fill", fill, FILLS)
    height, width, _ = pixels.shape
    half = max(height, width) / 2
    rows, columns = grid(height, width)
    middle_r, middle_c = (height - 1) / 2, (width - 1) / 2
    seen = ((columns - middle_c) - 1j * (rows - middle_r)) / half
    with np.errstate(divide="ignore", invalid="ignore"):
        source = transform.inverse()(seen)
    source = np.where(np.isfinite(source), source, 1e6)
    up, right = np.imag(source) * half, np.real(source) * half
    return sample(pixels, middle_r - up, middle_c + right, fill == "black")


def _body(direction: str, pixels: Pixels, setting: Setting, canvas: Canvas) -> Pixels:
    return _warp(pixels, Moebius(c=_c(direction, setting[0])), "edge")


for _direction in DIRECTIONS:
    _name, _five = f"perspective_{_direction}", tuple((s,) for s in _STRENGTHS)
    CORRUPTIONS.add(
        _name,
        Corruption(_name, "perspective", "geometry", _five, _five, partial(_body, _direction)),
    )
