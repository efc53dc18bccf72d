"""`RetrainResult`: what a re-training did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RetrainResult:
    """Length, speed and validation accuracy of a finished re-training."""

    steps: int
    """Optimiser steps."""
    epochs: float
    """Passes over the training images."""
    images: int
    """Training images seen, repeats counted."""
    minutes: float
    """Wall time from the first step to the end: training, validation and checkpoints."""
    images_per_second: float
    """Training images a second, validation and checkpoints left out."""
    stopped_by: str
    """What ended the run: ``"steps"``, ``"minutes"``, ``"accuracy"`` (``max_drop``) or ``"class"``
    (``max_class_drop``)."""
    kept: str
    """Weights that the model holds now: ``"last"``, or ``"ema"`` for the moving average."""
    kept_step: int
    """Optimiser step that they are from."""
    precision: str = "fp32"
    """Compute type that forward passes ran in: ``"fp32"`` or ``"bf16"``."""
    last_accuracy: float | None = None
    """Validation accuracy of the last weights, 0 to 1; None without validation images."""
    ema_accuracy: float | None = None
    """Validation accuracy of the last moving average, 0 to 1; None without one."""
    best_accuracy: float | None = None
    """Validation accuracy of the best weights (`Recipe.keep`), 0 to 1: a choice, so slightly optimistic."""
    class_drop: float | None = None
    """What the worst class of the best weights has lost in validation against the unreduced model, −1 to 1; None
    without ``max_class_drop``. Above that limit, no weights met it."""
    skipped: list[str] = field(default_factory=list)
    """Corrupt images that were left out, the first twenty of each set."""
    warnings: list[str] = field(default_factory=list)
    """What the user should know about the losses on this model."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of ``log.jsonl``."""
