"""What turns a stored image into a model's input at evaluation; a model carries its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ConfigError, DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side to ⌊img_size / crop_pct⌋, crop the centre, scale to 0..1, normalise.

    ``Preprocessing(224, crop_pct=0.875)`` is the published evaluation of Vision Mamba: bicubic to
    256, centre crop of 224, ImageNet's mean and deviation. Pixels pass untouched where the size
    already fits.

    Source: Zhu et al., "Vision Mamba" (arXiv:2401.09417), evaluation as in DeiT
    (arXiv:2012.12877). EXIF orientation is ignored, as there.
    """

    img_size: int | tuple[int, int] = 224
    """Side of the square input in pixels, or (height, width)."""
    channels: Literal[1, 3] = 3
    """3 = RGB (grey images are repeated), 1 = grey (colour becomes ITU-R 601 luma)."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Mean of each channel on the 0..1 scale."""
    std: tuple[float, ...] = IMAGENET_STD
    """Deviation of each channel on the 0..1 scale."""
    crop_pct: float = 1.0
    """Share of the resized side that the centre crop keeps, in (0, 1]."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """Pillow's resampling filter (all but nearest are antialiased)."""

    def __post_init__(self) -> None:
        for name in ("mean", "std"):  # JSON has lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not isinstance(self.img_size, int):
            object.__setattr__(self, "img_size", tuple(self.img_size))
        if min(self.size) < 1:
            raise ConfigError(
                "img_size of at least 1", repr(self.img_size), "give pixels, e.g. 224"
            )
        if self.channels not in (1, 3):
            raise ConfigError("channels 1 or 3", repr(self.channels), "use 1 (grey) or 3 (RGB)")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ConfigError(
                f"mean and std of {self.channels} channel(s)",
                f"mean {self.mean}, std {self.std}",
                "give one number a channel for each",
            )
        if min(self.std) <= 0:
            raise ConfigError("std above 0", repr(self.std), "use 1.0 to leave a channel unscaled")
        if not 0 < self.crop_pct <= 1:
            raise ConfigError("crop_pct in (0, 1]", repr(self.crop_pct), "1.0 crops nothing away")
        if self.interpolation not in FILTERS:
            known = ", ".join(FILTERS)
            raise ConfigError(
                "a resampling filter", repr(self.interpolation), f"use one of {known}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the result."""
        size = self.img_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def fill(self) -> tuple[int, ...]:
        """The mean colour as bytes: what fills the corners of a rotated image."""
        return tuple(min(255, round(255 * m)) for m in self.mean)

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One stored image as a model input.

        Args:
            image: uint8 (H, W, 3), (H, W, 1) or (H, W), any size.

        Returns:
            float32 (channels, h, w), normalised.

        Raises:
            DataError: the array is not an image.
        """
        return self.normalise(self.fit(image)[None])[0]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether images of ``shape`` (H, W, C) come out of `fit` as they are."""
        height, width, channels = shape
        return (height, width) == self._resized(height, width) == self.size and (
            channels == self.channels
        )

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Colour conversion, resize and centre crop: uint8 (H, W[, C]) → (h, w, channels)."""
        image = as_image(image)
        if self.fits(image.shape):
            return image
        picture = self.convert(image)
        height, width = self._resized(picture.height, picture.width)
        if (picture.height, picture.width) != (height, width):
            picture = picture.resize((width, height), FILTERS[self.interpolation])
        # Python's round: halves go to the even pixel, as in the published recipe
        top, left = round((height - self.size[0]) / 2.0), round((width - self.size[1]) / 2.0)
        box = (left, top, left + self.size[1], top + self.size[0])
        return from_pillow(picture.crop(box))

    def convert(self, image: NDArray[np.uint8]) -> Image.Image:
        """The image as a Pillow picture with this preprocessing's channels."""
        picture = to_pillow(as_image(image))
        mode = "RGB" if self.channels == 3 else "L"
        return picture if picture.mode == mode else picture.convert(mode)

    def normalise(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(x / 255 − mean) / std in float32: uint8 (B, h, w, C) → (B, C, h, w)."""
        out = np.empty((len(images), self.channels, *self.size), np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            table = np.arange(256, dtype=np.float32) / np.float32(255)
            table = (table - np.float32(mean)) / np.float32(std)
            np.take(table, images[..., channel], out=out[:, channel], mode="clip")
        return out

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Size before the crop: the side that is short for the target fits, the other follows."""
        # 1e-6: 28 / 0.28 is 99.999… in floating point and means 100
        want_h, want_w = (int(side / self.crop_pct + 1e-6) for side in self.size)
        if height * want_w <= width * want_h:
            return want_h, max(want_w, want_h * width // height)
        return max(want_h, want_w * height // width), want_w


def as_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Check an array and give a two-dimensional one its channel axis."""
    if image.ndim == 2:
        image = image[..., None]
    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] not in (1, 3)
        or 0 in image.shape
    ):
        raise DataError(
            "an image as uint8 (H, W, 3), (H, W, 1) or (H, W)",
            f"{image.dtype} {image.shape}",
            "convert the array first; channels come last",
        )
    return image


def to_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """uint8 (H, W, C) as a Pillow picture."""
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def from_pillow(picture: Image.Image) -> NDArray[np.uint8]:
    """A Pillow picture of mode L or RGB as uint8 (H, W, C)."""
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array
