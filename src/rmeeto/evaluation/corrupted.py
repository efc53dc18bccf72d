"""Run a model over a source, clean and under every corruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..data import SEVERITIES, Corrupted, ImageSource, Preprocessing, corruption_names
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
    names = _names(source) if names is None else list(names)
    cells = [(name, s, Corrupted(source, name, s, seed)) for name in names for s in severities]
    clean = predict(model, source, preprocessing, batch_size, workers)
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for done, (name, severity, corrupted) in enumerate(cells, 1):
        seen = predict(model, corrupted, preprocessing, batch_size, workers)
        if not np.array_equal(seen.ids, clean.ids):
            why = "every pass must read the same images; check the disk and try again"
            raise DataError("one set of images", f"{name} {severity}: {len(seen.ids)} read", why)
        found.setdefault(name, []).append(~seen.correct())
        if on_progress:
            on_progress(1 + done, 1 + len(cells))
    wrong = {name: np.stack(rows) for name, rows in found.items()}
    return CorruptionErrors(~clean.correct(), wrong, clean.ids)


def _names(source: ImageSource) -> list[str]:
    """Common corruptions for the channels of the first readable image."""
    for index in range(len(source)):
        try:
            return corruption_names("common", source.image(index).shape[2])
        except DataError:
            continue
    raise DataError("an image", f"{source.name}: none readable", "check the path and the files")
