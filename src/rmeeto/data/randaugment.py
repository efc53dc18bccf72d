"""RandAugment's operations and colour jitter on one Pillow picture, grey or RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from .augment import RandAugment

_MAX = 10.0  # strengths run from 0 to this

Fill = tuple[int, ...]


@dataclass(frozen=True)
class Stroke:
    """How strongly an operation acts, and how geometry is resampled."""

    strength: float
    """0..1."""
    sign: int
    """−1 or 1, for operations with a direction."""
    resample: Image.Resampling
    fill: Fill
    """Bytes for pixels from outside, one a channel."""

    @property
    def signed(self) -> float:
        """Strength with its direction."""
        return self.strength * self.sign


def _affine(picture: Image.Image, stroke: Stroke, matrix: tuple[float, ...]) -> Image.Image:
    fill = stroke.fill if picture.mode == "RGB" else stroke.fill[0]
    transform = Image.Transform.AFFINE
    return picture.transform(picture.size, transform, matrix, stroke.resample, fillcolor=fill)


def _rotate(picture: Image.Image, stroke: Stroke) -> Image.Image:
    fill = stroke.fill if picture.mode == "RGB" else stroke.fill[0]
    return picture.rotate(30 * stroke.signed, stroke.resample, fillcolor=fill)


def _shear_x(picture: Image.Image, stroke: Stroke) -> Image.Image:
    return _affine(picture, stroke, (1, 0.3 * stroke.signed, 0, 0, 1, 0))


def _shear_y(picture: Image.Image, stroke: Stroke) -> Image.Image:
    return _affine(picture, stroke, (1, 0, 0, 0.3 * stroke.signed, 1, 0))


def _translate_x(picture: Image.Image, stroke: Stroke) -> Image.Image:
    return _affine(picture, stroke, (1, 0, 0.45 * stroke.signed * picture.width, 0, 1, 0))


def _translate_y(picture: Image.Image, stroke: Stroke) -> Image.Image:
    return _affine(picture, stroke, (1, 0, 0, 0, 1, 0.45 * stroke.signed * picture.height))


def _posterize(picture: Image.Image, stroke: Stroke) -> Image.Image:
    bits = 4 - int(stroke.strength * 4)
    # Pillow's posterize starts at one bit; none left is black
    return ImageOps.posterize(picture, bits) if bits else picture.point(lambda _: 0)


def _solarize(picture: Image.Image, stroke: Stroke) -> Image.Image:
    return ImageOps.solarize(picture, 256 - int(stroke.strength * 256))


def _solarize_add(picture: Image.Image, stroke: Stroke) -> Image.Image:
    add = int(stroke.strength * 110)
    table = [min(255, value + add) if value < 128 else value for value in range(256)]
    return picture.point(table * len(picture.getbands()))


def _enhance(kind: type) -> Callable[[Image.Image, Stroke], Image.Image]:
    def run(picture: Image.Image, stroke: Stroke) -> Image.Image:
        return kind(picture).enhance(max(0.1, 1 + 0.9 * stroke.signed))

    return run


OPERATIONS: dict[str, Callable[[Image.Image, Stroke], Image.Image]] = {
    "autocontrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "invert": lambda picture, _: ImageOps.invert(picture),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
"""The fifteen operations whose effect grows with strength; ``color`` leaves grey as it is."""


def rand_augment(
    picture: Image.Image,
    config: RandAugment,
    rng: np.random.Generator,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
    fill: Fill = (128, 128, 128),
) -> Image.Image:
    """Run ``config.num_ops`` random operations on a picture of mode RGB or L."""
    names = list(OPERATIONS)
    for choice in rng.integers(len(names), size=config.num_ops):
        runs, sign = rng.random() < config.prob, 1 if rng.random() < 0.5 else -1
        magnitude = min(max(rng.normal(config.magnitude, config.std), 0.0), _MAX)
        if runs:
            stroke = Stroke(magnitude / _MAX, sign, resample, fill)
            picture = OPERATIONS[names[choice]](picture, stroke)
    return picture


def color_jitter(picture: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation in random order, each by a factor in 1 ± ``amount``."""
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    factors = rng.uniform(max(0.0, 1 - amount), 1 + amount, size=3)
    for i in rng.permutation(3):
        picture = kinds[i](picture).enhance(factors[i])
    return picture
