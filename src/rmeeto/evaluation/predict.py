"""One forward pass over a data set, kept as arrays that every metric and score can use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..data import Batch, ImageSource, Preprocessing, SkipReport, eval_batches
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
    skipped, start = SkipReport(), time.perf_counter()
    batches = eval_batches(source, preprocessing, batch_size, workers, skip_report=skipped)
    logits, labels, ids = [], [], []
    with evaluating(model):
        for batch in batches:
            logits.append(_logits(model, batch, precision))
            labels.append(batch.labels.numpy())
            ids.append(batch.ids.numpy())
            if on_progress:
                on_progress(sum(map(len, ids)), len(source))
    if not logits:
        raise DataError(
            f"predictions for {source.name}",
            f"{len(source)} images, none readable",
            "check the path and the files",
        )
    seconds = time.perf_counter() - start
    return Predictions(_join(logits), _join(labels), _join(ids), skipped, seconds)


def _logits(model: nn.Module, batch: Batch, precision: str) -> np.ndarray:
    device = device_of(model)
    with autocast(device, precision):
        return model(batch.images.to(device)).to("cpu", torch.float32).numpy()


def _join(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate(list(parts))
