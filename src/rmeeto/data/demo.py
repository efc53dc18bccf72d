"""The embedded set: part of Fashion-MNIST, so that everything can be tried without a download."""

from __future__ import annotations

import io
import lzma
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .reading import SOURCES, Reader, missing_split
from .sources import ArraySource
from .subsets import of_classes

VALIDATION_IMAGES = 5_000
"""The last so many of the 60,000 training images, in the official order, are this project's
validation part; training images come from those before. The test split is for reporting only."""

PACK = "fashion_mnist_demo.npz"
SPLITS = ("train", "val", "test")
OFFICIAL = (
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
"""Fashion-MNIST's ten classes in its own order, by which the pack's labels count."""
UNSEEN = ("shirt", "bag")
"""Held out, to see what a model makes of what it does not know: a shirt is much like four of the
other classes (near OOD), a bag is the one thing of the ten that nobody puts on (far OOD)."""
CLASSES = tuple(name for name in OFFICIAL if name not in UNSEEN)
"""The classes of the embedded set."""
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
    """The arrays of the embedded pack: packed images of each split and of the unseen classes, their
    official labels, and their places in the official training split (train, val) or test split."""
    data = resources.files("rmeeto.data").joinpath("demo", PACK).read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def open_demo(_: Path, split: str) -> ArraySource:
    """Open a split of the embedded set: 28×28 grey images of eight kinds of clothes and shoes.

    train and val are parts of the official training split (see `VALIDATION_IMAGES`), test is part of
    the official test split, 625 images a class.

    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (arXiv:1708.07747), MIT licence.
    """
    if split not in SPLITS:
        raise missing_split(Path("demo"), split, SPLITS)
    return _open(split, CLASSES, f"demo/{split}")


def splits(_: Path) -> tuple[str, ...]:
    """The splits of the embedded set."""
    return SPLITS


def _open(part: str, classes: Sequence[str], name: str) -> ArraySource:
    arrays = read_pack()
    images, labels = unpack(arrays[f"{part}_images"]), arrays[f"{part}_labels"]
    return of_classes(ArraySource(images, labels, OFFICIAL), classes, name)


def _unseen(one: str) -> Reader:
    """500 test images of a class that was held out; one set, whatever split is asked for."""
    return Reader(
        f'"demo-{one}", of a class that "demo" leaves out',
        lambda _: (),
        lambda _, split: _open("unseen", (one,), f"demo-{one}"),
        needs_path=False,
    )


SOURCES.add(
    "demo", Reader('"demo", the embedded Fashion-MNIST part', splits, open_demo, needs_path=False)
)
for _name in UNSEEN:
    SOURCES.add(f"demo-{_name}", _unseen(_name))
