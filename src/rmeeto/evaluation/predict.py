"""One forward pass over a data set, kept as arrays that every metric and score can use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from ..data import ImageSource, Preprocessing, SkipReport, eval_batches
from ..errors import DataError
from .intervals import Interval
from .metrics import accuracies, correct
from .modes import autocast, device_of, evaluating

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """Logits of every readable image of a source, in the source's order.

    Args:
        logits: (n, K) float32.
        labels: (n,) int64.
        ids: (n,) int64, positions in the source; two models' predictions pair up by them.
        skipped: the images that could not be read.
        seconds: wall time of the pass, reading images included.
    """

    logits: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    skipped: SkipReport
    seconds: float

    def correct(self, k: int = 1) -> np.ndarray:
        """(n,) booleans, see `metrics.correct`."""
        return correct(self.logits, self.labels, k)

    def accuracies(self, ks: tuple[int, ...] = (1, 5), seed: int = 0) -> dict[str, Interval]:
        """Top-k accuracies with intervals, see `metrics.accuracies`."""
        return accuracies(self.logits, self.labels, ks, seed)


def predict(
    model: nn.Module,
    source: ImageSource,
    preprocessing: Preprocessing,
    batch_size: int = 128,
    workers: int = 0,
    precision: str = "fp32",
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Logits of ``model`` for every image of ``source``.

    Runs in eval mode without gradients, on the model's device, and restores every submodule's
    mode. No random number is drawn.

    Args:
        model: images (B, channels, height, width) → logits (B, K).
        source: labelled images; corrupt ones are skipped, counted and named.
        preprocessing: the one the model was trained with (``model.config.preprocessing``).
        batch_size: images in one forward pass.
        workers: processes that read images; 0 reads here.
        precision: "fp32", "bf16" or "fp16" (autocast).
        on_progress: called with (images done, images in the source) after every batch.

    Returns:
        The predictions; logits are float32 whatever the precision.

    Raises:
        DataError: no image could be read.
    """
    step = partial(logits_of, model, precision=precision)
    run = run_batches(step, model, source, preprocessing, batch_size, workers, on_progress)
    return Predictions(run.parts["logits"], run.labels, run.ids, run.skipped, run.seconds)


@dataclass(frozen=True)
class BatchRun:
    """What a step put out for every readable image of a source, in the source's order."""

    parts: dict[str, np.ndarray]
    """Name → (n, …) float32."""
    labels: np.ndarray
    """(n,) int64."""
    ids: np.ndarray
    """(n,) int64, positions in the source."""
    skipped: SkipReport
    """The images that could not be read."""
    seconds: float
    """Wall time, reading images included."""


Step = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def run_batches(
    step: Step, model: nn.Module, source: ImageSource, preprocessing: Preprocessing, batch_size: int,
    workers: int = 0, on_progress: OnProgress | None = None, gradients: bool = False,
) -> BatchRun:  # fmt: skip
    """The one loop over an image set: ``step`` on every batch, in eval mode, on the model's device.

    Args:
        step: (B, channels, height, width) images → named tensors (B, …).
        model: whose mode is kept and whose device the images go to.
        source, preprocessing, batch_size, workers, on_progress: as `predict`.
        gradients: whether the step takes gradients.

    Raises:
        DataError: no image could be read.
    """
    skipped, start = SkipReport(), time.perf_counter()
    batches = eval_batches(source, preprocessing, batch_size, workers, skip_report=skipped)
    found: dict[str, list[np.ndarray]] = {}
    labels, ids = [], []
    with evaluating(model, gradients=gradients):
        device = device_of(model)
        for batch in batches:
            for name, values in step(batch.images.to(device)).items():
                found.setdefault(name, []).append(values.detach().to("cpu", torch.float32).numpy())
            labels.append(batch.labels.numpy())
            ids.append(batch.ids.numpy())
            if on_progress:
                on_progress(sum(map(len, ids)), len(source))
    if not ids:
        raise DataError(
            f"predictions for {source.name}",
            f"{len(source)} images, none readable",
            "check the path and the files",
        )
    seconds = time.perf_counter() - start
    parts = {name: np.concatenate(values) for name, values in found.items()}
    return BatchRun(parts, np.concatenate(labels), np.concatenate(ids), skipped, seconds)


def logits_of(
    model: nn.Module, images: torch.Tensor, precision: str = "fp32"
) -> dict[str, torch.Tensor]:
    """``{"logits": (B, K)}`` of (B, channels, height, width) images, in the given precision."""
    with autocast(images.device, precision):
        return {"logits": model(images)}
