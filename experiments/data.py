"""The data sets of the experiments, from a folder that the repository does not hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rmeeto.data import ImageSource, hold_out_last, open_source, split_validation, take
from rmeeto.data import cache as in_memory

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RMEETO_DATA", ROOT.parent / "shared" / "data"))
VALIDATION = 5000


@dataclass(frozen=True)
class Splits:
    """Training, validation (for every choice) and test (reported on, never chosen on)."""

    train: ImageSource
    validation: ImageSource
    test: ImageSource


@cache
def splits(name: str) -> Splits:
    """Splits of "fashion" or "cifar10"; validation is 5,000 training images, the same for everything."""
    if name == "fashion":
        train, validation = hold_out_last(
            open_source(f"idx:{DATA / 'fashion_mnist'}", "train"), VALIDATION
        )
        return Splits(train, validation, open_source(f"idx:{DATA / 'fashion_mnist'}", "test"))
    train, validation = split_validation(
        in_memory(open_source(f"npz:{DATA / name}", "train")), VALIDATION, seed=0
    )
    return Splits(train, validation, in_memory(open_source(f"npz:{DATA / name}", "test")))


def part(source: ImageSource, images: int | None) -> ImageSource:
    """A class-balanced part of the training images; None for all."""
    return source if images is None else take(source, images, seed=0)
