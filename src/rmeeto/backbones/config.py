"""What a backbone is made of: one frozen dataclass per family, saved with every model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneConfig:
    """The settings that all sequence backbones share; a family adds its own fields and `build`."""

    family: ClassVar[str] = ""
    class_token: ClassVar[Literal["middle", "first"]] = "first"

    name: str
    """registered variant that the settings started from"""
    img_size: int | tuple[int, int] = 224
    """input height and width in pixels, one number for a square"""
    patch_size: int = 16
    """side of the square patch kernel in pixels"""
    stride: int | None = None
    """pixels between patches; unset = patch_size, smaller = overlapping patches"""
    in_chans: int = 3
    """image channels"""
    num_classes: int = 1000
    """outputs of the head; 0 = no head, the model returns features"""
    embed_dim: int = 192
    """channels C of the residual stream"""
    depth: int = 24
    """layers"""
    drop_path: float = 0.0
    """largest probability of skipping a block for one sample while training, 0 up to 1"""
    default_sites: str = "all"
    """layers before which tokens are reduced unless a reducer says otherwise"""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """mean of each channel that the input was shifted by (pixels scaled to 0..1)"""
    std: tuple[float, ...] = IMAGENET_STD
    """standard deviation of each channel that the input was divided by"""
    crop_pct: float = 1.0
    """share of the resized image's side that the evaluation crop keeps"""
    interpolation: str = "bicubic"
    """resampling of the evaluation transform"""

    def __post_init__(self) -> None:
        for name in ("patch_size", "in_chans", "embed_dim", "depth"):
            self._require(getattr(self, name) >= 1, name, "use 1 or more")
        self._require(self.stride is None or self.stride >= 1, "stride", "use 1 or more")
        self._require(self.num_classes >= 0, "num_classes", "use 0 (no head) or more")
        self._require(0 <= self.drop_path < 1, "drop_path", "use 0 up to, not including, 1")
        fits = min(self.image_hw) >= self.patch_size
        self._require(fits, "img_size", f"use at least the patch size, {self.patch_size}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            counts = {1, len(IMAGENET_MEAN), self.in_chans}
            self._require(len(values) in counts, name, f"give {self.in_chans} numbers")
            object.__setattr__(self, name, _per_channel(values, self.in_chans))

    def _require(self, holds: bool, name: str, way_out: str) -> None:
        if not holds:
            given = f"{name}={getattr(self, name)!r}"
            raise ConfigError(f"{self.name} with another {name}", given, way_out)

    @property
    def image_hw(self) -> tuple[int, int]:
        """Input height and width in pixels."""
        size = self.img_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches: floor((side − patch) / stride) + 1."""
        step = self.stride or self.patch_size
        height, width = ((side - self.patch_size) // step + 1 for side in self.image_hw)
        return height, width

    @property
    def class_slot(self) -> int:
        """Start slot of the class token: half the patches come before it, or none."""
        return math.prod(self.grid) // 2 if self.class_token == "middle" else 0

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Keyword arguments of the evaluation transform that the model expects."""
        return {
            "img_size": self.img_size,
            "channels": self.in_chans,
            "mean": self.mean,
            "std": self.std,
            "crop_pct": self.crop_pct,
            "interpolation": self.interpolation,
        }

    def build(self) -> Any:
        """An instance of the family's model class, weights not set yet."""
        raise NotImplementedError


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """``values`` when there is one a channel, else their average for every channel."""
    if len(values) == channels:
        return tuple(values)
    return (round(sum(values) / len(values), 6),) * channels
