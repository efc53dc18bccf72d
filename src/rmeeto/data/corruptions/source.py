"""A source whose images are corrupted when they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...config import fingerprint
from ..sources import ImageSource
from ..streams import Stream, seeds
from .base import CORRUPTIONS, check_severity


class Corrupted:
    """Every image of a source with one corruption at one severity, made when it is read.

    Args:
        source: images of any size; labels, classes and order stay.
        name: a name from `CORRUPTIONS`.
        severity: 1 to 5.
        seed: decides every image together with its position, whatever the severity.

    Raises:
        UnknownNameError: another name. ConfigError: another severity.
    """

    def __init__(self, source: ImageSource, name: str, severity: int, seed: int = 0) -> None:
        check_severity(severity)
        self.corruption = CORRUPTIONS.get(name)
        self.source, self.severity, self.seed = source, severity, seed
        self.name = f"{source.name} ({name} {severity})"
        self.classes, self.labels = source.classes, source.labels

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 (H, W, C); raises `DataError` where the image behind it can't be read."""
        seed = int(seeds(self.seed, Stream.CORRUPTION, index)[0])
        return self.corruption(self.source.image(index), self.severity, seed)

    def item_name(self, index: int) -> str:
        """What it was made from."""
        return f"{self.corruption.name} {self.severity} of {self.source.item_name(index)}"

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with images, corruption, its setting and the seed."""
        made = self.corruption
        settings = [list(five[self.severity - 1]) for five in (made.small, made.large)]
        return fingerprint([self.source.fingerprint(), made.name, settings, self.seed])
