"""Mixup and CutMix of a batch with itself reversed, and the soft targets that go with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .augment import Augment
from .streams import Stream, generator

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def soft_targets(labels: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """Labels (B,) as smoothed one-hot rows (B, K) in float32: (1 − ε)·one-hot + ε/K.

    Source: Szegedy et al., "Rethinking the Inception architecture" (arXiv:1512.00567), Sec. 7.
    """
    one_hot = labels.new_zeros(len(labels), num_classes).scatter_(1, labels[:, None], 1)
    return one_hot.float() * (1 - smoothing) + smoothing / num_classes


def mix(images: Tensor, targets: Tensor, augment: Augment, seed: int) -> tuple[Tensor, Tensor]:
    """Mix every image with the one at the mirrored place of the batch, with one λ for the batch.

    mixup: x' = λx + (1 − λ)·flip(x); CutMix: a rectangle of flip(x) pasted into x, λ = the share
    of pixels that stay. Targets become λt + (1 − λ)·flip(t).

    Args:
        images: (B, C, H, W).
        targets: (B, K) soft targets, see `soft_targets`.
        augment: α of both, probabilities.
        seed: decides everything; a batch's ``mix_seed``.

    Returns:
        Mixed (images, targets); the arguments themselves where nothing is mixed.

    Source: Zhang et al., "mixup" (arXiv:1710.09412), Eq. 1; Yun et al., "CutMix"
    (arXiv:1905.04899), Eq. 1 and 2; differs in: partner = the reversed batch, as in the recipe.
    """
    rng = generator(seed, Stream.MIX)
    runs, switch = rng.random() < augment.mix_prob, rng.random() < augment.switch_prob
    if not runs or not augment.mixes:
        return images, targets
    cut = augment.cutmix > 0 and (switch or not augment.mixup)
    alpha = augment.cutmix if cut else augment.mixup
    lam = float(rng.beta(alpha, alpha))
    if cut:
        images, lam = _paste(images, lam, rng)
    else:
        images = images * lam + images.flip(0) * (1 - lam)
    return images, targets * lam + targets.flip(0) * (1 - lam)


def _paste(images: Tensor, lam: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Paste a rectangle of about 1 − λ of the area; returns the λ that the borders leave."""
    height, width = images.shape[-2:]
    side = math.sqrt(1 - lam)
    rows, columns = _span(height, side, rng), _span(width, side, rng)
    mixed = images.clone()
    mixed[..., rows, columns] = images.flip(0)[..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _span(length: int, share: float, rng: np.random.Generator) -> slice:
    size, centre = int(length * share), int(rng.integers(length))
    return slice(max(0, centre - size // 2), min(length, centre + size // 2))
