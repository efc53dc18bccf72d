"""The embedded set: part of Fashion-MNIST, so that everything can be tried without a download."""

from __future__ import annotations

import io
import lzma
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .reading import SOURCES, Reader, missing_split
from .sources import ArraySource

VALIDATION_IMAGES = 5_000
"""The last so many of the 60,000 training images, in the official order, are this project's
validation part; training images come from those before. The test split is for reporting only."""

PACK = "fashion_mnist_demo.npz"
SPLITS = ("train", "val", "test")
CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4}]
_SIDE = 28


def pack(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compress images (n, 28, 28) to bytes; the same images give the same bytes."""
    data = lzma.compress(images.tobytes(), format=lzma.FORMAT_XZ, filters=_FILTERS)
    return np.frombuffer(data, np.uint8)


def unpack(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The inverse of `pack`: uint8 (n, 28, 28)."""
    return np.frombuffer(lzma.decompress(data.tobytes()), np.uint8).reshape(-1, _SIDE, _SIDE)


def read_pack() -> Mapping[str, NDArray]:
    """The arrays of the embedded pack: each split's packed images, their labels, and their places
    in the official training split (train and val) or test split (test)."""
    data = resources.files("rmeeto.data").joinpath("demo", PACK).read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def open_demo(_: Path, split: str) -> ArraySource:
    """Open a split of the embedded set: 28×28 grey images of ten kinds of clothes.

    train and val are parts of the official training split (see `VALIDATION_IMAGES`), test is half of
    the official test split, 500 images a class.

    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (arXiv:1708.07747), MIT licence.
    """
    if split not in SPLITS:
        raise missing_split(Path("demo"), split, SPLITS)
    arrays = read_pack()
    images, labels = unpack(arrays[f"{split}_images"]), arrays[f"{split}_labels"]
    return ArraySource(images, labels, CLASSES, f"demo/{split}")


def splits(_: Path) -> tuple[str, ...]:
    """The splits of the embedded set."""
    return SPLITS


SOURCES.add(
    "demo", Reader('"demo", the embedded Fashion-MNIST part', splits, open_demo, needs_path=False)
)
