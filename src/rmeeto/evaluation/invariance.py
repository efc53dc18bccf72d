"""Whether an image's logits depend on the images beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ShapeError
from .modes import device_of, evaluating


@dataclass(frozen=True)
class BatchInvariance:
    """Largest absolute differences of logits against one batch of all images."""

    alone: float
    """When each image is a batch of its own."""
    permuted: float
    """When the batch has another order."""

    @property
    def largest(self) -> float:
        """The larger of both; NaN if either is."""
        return float(torch.tensor([self.alone, self.permuted]).max())


def batch_order_invariance(model: nn.Module, images: Tensor, seed: int = 0) -> BatchInvariance:
    """How far an image's logits move with the batch it is in.

    Rounding alone gives about 1e-5 in fp32; a model that decides by batch statistics, or picks
    tokens over the batch, gives much more. Runs in eval mode without gradients and restores modes.

    Args:
        model: (B, channels, height, width) → logits (B, K).
        images: (B, channels, height, width), preprocessed, B ≥ 2.
        seed: draws the permutation, which is never the identity.

    Returns:
        The largest differences, in logits; NaN where logits are.

    Raises:
        ShapeError: fewer than two images, or not a batch.
    """
    if images.ndim != 4 or len(images) < 2:
        why = "order means something from two images on"
        raise ShapeError("a batch (B, C, H, W) of two or more", str(tuple(images.shape)), why)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    if bool((order == torch.arange(len(images))).all()):
        order = order.roll(1)
    with evaluating(model):
        images = images.to(device_of(model))
        together = model(images).float()
        alone = torch.cat([model(image[None]).float() for image in images])
        permuted = model(images[order.to(images.device)]).float()
        return BatchInvariance(
            float((together - alone).abs().max()),
            float((together[order.to(together.device)] - permuted).abs().max()),
        )
