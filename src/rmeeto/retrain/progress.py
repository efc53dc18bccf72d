"""What a re-training reports while it runs: events to a callback, lines to ``log.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..storage import storage_error, write_atomic
from .result import RetrainResult


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on."""

    step: int
    """Optimiser steps done before (0 for a new run)."""
    steps: int | None
    """Optimiser steps in all; None while only the clock bounds the run."""
    steps_per_epoch: int
    seconds: float | None
    """Bound of the wall time."""


@dataclass(frozen=True)
class Advanced:
    """An optimiser step is done; sent every step and free of any wait for the device."""

    step: int
    steps: int | None
    """Optimiser steps in all as planned now."""
    fraction: float
    """Share of the run that is over, 0 to 1, in steps or time, whichever is further."""
    seconds_left: float | None
    """Expected seconds to the end, the last validation included."""


@dataclass(frozen=True)
class Trained:
    """Means over the steps since the last such event; one line of the log."""

    step: int
    epoch: float
    loss: float
    parts: dict[str, float]
    """Each named loss, unweighted."""
    accuracy: float
    """Share of the augmented training images whose (heavier) label came first, 0 to 1."""
    lr: float
    grad_norm: float
    images_per_second: float
    seconds: float
    """Wall time so far."""
    seconds_left: float | None


@dataclass(frozen=True)
class Validated:
    """The validation images have been classified; one line of the log."""

    step: int
    epoch: float
    accuracy: float
    """Share classified correctly, 0 to 1."""
    loss: float
    """Mean cross-entropy in nats."""
    ema_accuracy: float | None
    ema_loss: float | None
    images: int
    seconds: float
    """Wall time so far."""
    detection: float | None = None
    """AUROC of max softmax, validation images against held-out outliers; None without outliers."""
    ema_detection: float | None = None
    class_drop: float | None = None
    """What the worst class has lost against the unreduced model, −1 to 1; None without ``max_class_drop``."""
    ema_class_drop: float | None = None


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int
    path: str


@dataclass(frozen=True)
class Finished:
    """The run is over."""

    result: RetrainResult


Event: TypeAlias = Started | Advanced | Trained | Validated | Saved | Finished
OnEvent: TypeAlias = Callable[[Event], None]


class Log:
    """``log.jsonl``: one line a `Trained` or `Validated` event, kept in step with the checkpoint.

    Args:
        path: the file; None writes nothing (a process that is not the first).
        history: lines that a resumed run begins with; whatever else the file holds is dropped.
    """

    def __init__(self, path: Path | None, history: list[dict[str, Any]]) -> None:
        self.history = history
        self._path = path
        if path is not None:
            write_atomic(path, "".join(map(_line, history)))

    def add(self, event: Trained | Validated) -> None:
        """Append one line to the history and to the file."""
        entry = {"kind": type(event).__name__.lower(), **asdict(event)}
        self.history.append(entry)
        if self._path is None:
            return
        try:
            with self._path.open("a") as file:
                file.write(_line(entry))
        except OSError as e:
            raise storage_error(self._path, e) from e


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry) + "\n"
