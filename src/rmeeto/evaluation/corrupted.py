"""Run a model over a source, clean and under every corruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data import (
    BACKGROUNDS,
    SEVERITIES,
    BackgroundEdited,
    Corrupted,
    ImageSource,
    Preprocessing,
    corruption_names,
)
from ..errors import DataError
from .predict import predict
from .robustness import CorruptionErrors


def measure_corruptions(
    model: nn.Module,
    source: ImageSource,
    preprocessing: Preprocessing,
    names: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> CorruptionErrors:
    """A model's errors on a source, clean and corrupted.

    Takes ``1 + len(names) · len(severities)`` passes over the source: 76 by default.

    Args:
        model, source, preprocessing, batch_size, workers: as `predict`.
        names: from `CORRUPTIONS`; None = the common ones that its images can take.
        severities: from 1 to 5.
        seed: of the corruptions; equal seeds corrupt equally, whatever the model.
        on_progress: called with (passes done, passes in all).

    Raises:
        UnknownNameError, ConfigError, DataError, ShapeError: as `Corrupted` and `predict`; an image
            that can be read in one pass and not in another.
    """
    names = names_for(source) if names is None else list(names)

    def wrong(images: ImageSource) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        found = predict(model, images, preprocessing, batch_size, workers)
        return ~found.correct(), found.ids

    cells = corrupted_sets(source, names, severities, seed)
    return gather_errors(source, cells, wrong, on_progress)


Cells = Mapping[tuple[str, int], ImageSource]
"""(name of a corruption, severity) → the corrupted images."""


def corrupted_sets(
    source: ImageSource,
    names: Sequence[str],
    severities: Sequence[int],
    seed: int = 0,
    masks: ImageSource | None = None,
) -> Cells:
    """A source under every corruption at every severity.

    Args:
        source, severities, seed: as `measure_corruptions`.
        names: from `CORRUPTIONS`; with ``masks`` from `BACKGROUNDS` too.
        masks: of the images' foreground, as `BackgroundEdited`.

    Raises:
        As `Corrupted` and `BackgroundEdited`.
    """

    def made(name: str, severity: int) -> ImageSource:
        if masks is not None and name in BACKGROUNDS:
            return BackgroundEdited(source, masks, name, severity, seed)
        return Corrupted(source, name, severity, seed)

    return {(name, s): made(name, s) for name in names for s in severities}


def gather_errors(
    source: ImageSource,
    cells: Cells,
    wrong: Callable[[ImageSource], tuple[NDArray[np.bool_], NDArray[np.int64]]],
    on_progress: Callable[[int, int], None] | None = None,
) -> CorruptionErrors:
    """Errors on a source and its corrupted sets, however they are found.

    Args:
        source: the images as they are.
        cells: as `corrupted_sets` makes them, of that source.
        wrong: images → (n,) whether each is classified wrongly, and (n,) its position.
        on_progress: as `measure_corruptions`.

    Raises:
        DataError: an image that can be read in one pass and not in another.
    """
    clean, ids = wrong(source)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for done, ((name, severity), corrupted) in enumerate(cells.items(), 1):
        flags, seen = wrong(corrupted)
        if not np.array_equal(seen, ids):
            why = "every pass must read the same images; check the disk and try again"
            raise DataError("one set of images", f"{name} {severity}: {len(seen)} read", why)
        found.setdefault(name, []).append(flags)
        if on_progress:
            on_progress(1 + done, 1 + len(cells))
    return CorruptionErrors(clean, {name: np.stack(rows) for name, rows in found.items()}, ids)


def names_for(source: ImageSource, family: str = "common") -> list[str]:
    """Corruptions of a family that the first readable image's channels can take.

    Raises:
        UnknownNameError: another family. DataError: no image can be read.
    """
    return corruption_names(family, first_image(source).shape[2])


def first_image(source: ImageSource) -> NDArray[np.uint8]:
    """The first image that can be read, uint8 (H, W, C); a `DataError` if there is none."""
    for index in range(len(source)):
        with suppress(DataError):
            return source.image(index)
    raise DataError("images", f"{source.name}: none readable", "check the path and the files")
