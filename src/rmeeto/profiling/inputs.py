"""Images to time models on: noise, or real ones for methods whose work depends on the content."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice, repeat

import torch
from torch import Tensor

from ..data import ImageSource, Preprocessing, SkipReport, Subset, eval_batches

_BAD_SHARE = 0.9  # a corrupt image among a handful to be timed does not matter


@dataclass(frozen=True)
class NoiseInput:
    """Normal noise of a model's input shape.

    Args:
        img_size: side of the square, or (height, width), in pixels. channels: colour channels.
        device: where the images are put. seed: seed of the noise.
    """

    img_size: int | tuple[int, int]
    channels: int = 3
    device: str = "cpu"
    seed: int = 0

    @property
    def name(self) -> str:
        """What a record says about the input."""
        return f"noise {'×'.join(map(str, self._shape))}, seed {self.seed}"

    @property
    def _shape(self) -> tuple[int, int, int]:
        size = self.img_size
        return (self.channels, *((size, size) if isinstance(size, int) else size))

    def __call__(self, batch_size: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(batch_size, *self._shape, generator=generator).to(self.device)


@dataclass(frozen=True)
class ImageInput:
    """The first images of a source, preprocessed, starting over where the source is short."""

    source: ImageSource
    preprocessing: Preprocessing
    device: str = "cpu"

    @property
    def name(self) -> str:
        """What a record says about the input."""
        return f"images of {self.source.name}"

    def __call__(self, batch_size: int) -> Tensor:
        count = min(batch_size, len(self.source))
        first = Subset(self.source, range(count))
        report = SkipReport(_BAD_SHARE)
        batches = eval_batches(first, self.preprocessing, count, skip_report=report)
        images = torch.cat([b.images for b in batches])
        cycle = chain.from_iterable(repeat(range(len(images))))
        return images[list(islice(cycle, batch_size))].to(self.device)
