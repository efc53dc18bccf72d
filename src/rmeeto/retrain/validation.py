"""Accuracy on the validation images, which alone decides what is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..data import ImageSource, Preprocessing, SkipReport, Subset, eval_batches
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
) -> Score:
    """Classify all images of ``source`` in evaluation mode; the processes share the work."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    if world.size > 1:
        source = Subset(source, range(world.rank, len(source), world.size))
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in eval_batches(source, preprocessing, batch_size, workers, skipped):
        labels = batch.labels.to(device)
        with compute_type(device, precision):
            logits = model(batch.images.to(device)).float()
        right = (logits.argmax(1) == labels).sum()
        loss = cross_entropy(logits, labels) * len(labels)
        sums += torch.stack([right.double(), loss.double(), right.new_tensor(len(labels))]).cpu()
    model.train(was_training)
    sums = sums.to(device, torch.float32)
    world.sum_([sums])
    right, loss, count = sums.tolist()
    return Score(right / count, loss / count, int(count))
