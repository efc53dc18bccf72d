"""Accuracy on the validation images, which alone decides what is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..data import ImageSource, Preprocessing, SkipReport, Subset, eval_batches
from ..evaluation import auroc
from ..objectives import cross_entropy
from .precision import compute_type
from .world import World


@dataclass(frozen=True)
class Score:
    """How well one set of weights does."""

    accuracy: float
    """Share classified correctly, 0 to 1."""
    loss: float
    """Mean cross-entropy in nats."""
    images: int
    detection: float | None = None
    """AUROC of max softmax against held-out outliers, 0 to 1; None without outliers."""

    classes: tuple[float, ...] = ()
    """Accuracy by class, 0 to 1; NaN for a class without images."""

    @property
    def worth(self) -> float:
        """What decides which weights are kept: accuracy, plus the AUROC where there is one."""
        return self.accuracy + (self.detection or 0.0)

    @property
    def noise(self) -> float:
        """Standard error of the accuracy."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / max(self.images, 1))


@torch.no_grad()
def validate(
    model: nn.Module,
    source: ImageSource,
    preprocessing: Preprocessing,
    batch_size: int,
    precision: str,
    world: World,
    workers: int = 0,
    skipped: SkipReport | None = None,
    outliers: ImageSource | None = None,
) -> Score:
    """Classify all images of ``source`` in evaluation mode; the processes share the work.

    With outliers the score also tells how well they are detected; each process compares its own
    share of both sets, and the mean over processes counts.
    """
    was_training = model.training
    model.eval()
    read = partial(_logits, model, preprocessing, batch_size, precision, world, workers, skipped)
    logits, labels = read(source)
    right, loss = (logits.argmax(1) == labels).sum(), cross_entropy(logits, labels) * len(labels)
    found = 0.0 if outliers is None else auroc(_doubt(logits), _doubt(read(outliers)[0]))
    model.train(was_training)
    sums = torch.tensor([float(right), float(loss), len(labels), found, 1.0])
    hits = _by_class(logits, labels)
    sums, hits = (x.to(next(model.parameters()).device) for x in (sums, hits))
    world.sum_([sums, hits])
    right, loss, count, detection, processes = sums.tolist()
    detection = None if outliers is None else detection / processes
    classes = tuple((hits[0] / hits[1]).tolist())
    return Score(right / count, loss / count, int(count), detection, classes)


def _by_class(logits: Tensor, labels: Tensor) -> Tensor:
    """(2, K): right answers and images of each class."""
    right = logits.argmax(1) == labels
    counted = (torch.bincount(x, minlength=logits.shape[1]) for x in (labels[right], labels))
    return torch.stack([c.float() for c in counted])


def _logits(
    model: nn.Module, preprocessing: Preprocessing, batch_size: int, precision: str, world: World,
    workers: int, skipped: SkipReport | None, source: ImageSource,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(n, K) fp32 logits and (n,) labels of this process's share, on the CPU."""
    device = next(model.parameters()).device
    if world.size > 1:
        source = Subset(source, range(world.rank, len(source), world.size))
    logits, labels = [], []
    for batch in eval_batches(source, preprocessing, batch_size, workers, skipped):
        with compute_type(device, precision):
            logits.append(model(batch.images.to(device)).float().cpu())
        labels.append(batch.labels)
    return torch.cat(logits), torch.cat(labels)


def _doubt(logits: Tensor) -> np.ndarray:
    """One minus the largest softmax: larger = more out-of-distribution."""
    return (1 - logits.softmax(1).amax(1)).numpy()
