"""The data sets of the experiments, from a folder that the repository does not hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rmeeto.data import ImageSource, hold_out_last, of_classes, open_source, split_validation, take
from rmeeto.data import cache as in_memory
from rmeeto.data.demo import CLASSES, OFFICIAL

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RMEETO_DATA", ROOT.parent / "shared" / "data"))
FOLDERS = {"tin100": "tin100_32"}
VALIDATION = 5000


@dataclass(frozen=True)
class Splits:
    """Training, validation (for every choice) and test (reported on, never chosen on)."""

    train: ImageSource
    validation: ImageSource
    test: ImageSource


@cache
def splits(name: str) -> Splits:
    """Splits of "fashion", "fashion8" (without the demo's unseen classes), "cifar10" or "tin100".

    Validation is 5,000 training images (4,000 without two classes), always the same.
    """
    if name == "fashion":
        train, validation = hold_out_last(_fashion("train"), VALIDATION)
        return Splits(train, validation, _fashion("test"))
    if name == "fashion8":
        train, validation = (
            _known(part) for part in hold_out_last(_fashion("train"), VALIDATION)
        )
        return Splits(train, validation, _known(_fashion("test")))
    folder = DATA / FOLDERS.get(name, name)
    train, validation = split_validation(_npz(folder, "train"), VALIDATION, seed=0)
    return Splits(train, validation, _npz(folder, "val" if name == "tin100" else "test"))


def _fashion(split: str) -> ImageSource:
    return open_source(f"idx:{DATA / 'fashion_mnist'}", split)


def _known(source: ImageSource) -> ImageSource:
    """Without the two classes that the demo's model has never seen."""
    named = [OFFICIAL.index(name) for name in CLASSES]
    return of_classes(source, [source.classes[k] for k in named], f"{source.name}, eight classes")


def _npz(folder: Path, split: str) -> ImageSource:
    return in_memory(open_source(f"npz:{folder}", split))


def part(source: ImageSource, images: int | None) -> ImageSource:
    """A class-balanced part of the training images; None for all."""
    return source if images is None else take(source, images, seed=0)


@dataclass(frozen=True)
class Outliers:
    """Images of none of a data set's classes: to train on, and to test on (never both)."""

    train: ImageSource
    test: dict[str, ImageSource]
    """"near: name" or "far: name" → images"""


@cache
def outliers(name: str) -> Outliers:
    """Of "tin100"; its folder's notes name the pairs, and no class is in two of the sets."""
    test = {"near: Tiny ImageNet": _npz(DATA / FOLDERS[name], "near_ood")}
    test |= {f"far: {far}": _npz(DATA / "ood32", far) for far in ("textures", "gtsrb")}
    return Outliers(_npz(DATA / "aux32", "aux"), test)
