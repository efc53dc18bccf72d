"""Mixtures of ID images and outliers, whose targets fade into the uniform distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from ..errors import ConfigError, ShapeError


@dataclass(frozen=True)
class MixOE:
    """How ID images and outliers are mixed; the loss is `cross_entropy` on what comes out.

    ``total = CE(images) + λ · CE(mixed)`` with λ = 1.
    """

    kind: Literal["cutmix", "mixup"] = "cutmix"
    """Paste a rectangle of the outlier, or blend the two."""
    alpha: float = 0.1
    """First parameter of the Beta distribution of the ID share."""
    beta: float = 1.0
    """Second parameter; with the defaults λ is 1/11 on average (a rectangle that the border cuts off
    leaves more of the image than λ)."""

    def __post_init__(self) -> None:
        if self.kind not in ("cutmix", "mixup"):
            raise ConfigError(
                "kind 'cutmix' or 'mixup'", repr(self.kind), "'cutmix' is the default"
            )
        if not (self.alpha > 0 and self.beta > 0):
            given = f"alpha={self.alpha}, beta={self.beta}"
            raise ConfigError("alpha and beta above 0", given, "0.1 and 1 are the defaults")


def mix_with_outliers(
    images: Tensor,
    targets: Tensor,
    outliers: Tensor,
    rng: np.random.Generator,
    config: MixOE | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix every ID image with the outlier at its place, with one share λ for the batch.

    mixup: ``x' = λx + (1 − λ)o``; CutMix: a rectangle of the outlier pasted into the image, λ = the
    share of pixels that stay. Targets become ``λt + (1 − λ)/K``.

    Args:
        images: (B, C, H, W) of ID images.
        targets: (B, K) probabilities (one-hot or soft).
        outliers: (A, C, H, W), A ≥ 1; repeated in turn where A < B, the first B otherwise.
        rng: decides everything.
        config: kind and Beta(α, β) of λ; None for the defaults.

    Returns:
        Mixed images (B, C, H, W) and targets (B, K); the arguments are left as they are.

    Raises:
        ShapeError: images of different shapes, or targets that are not (B, K).

    Source: Zhang et al. 2023, "Mixture Outlier Exposure" (WACV); λ from
    Beta(0.1, 1) and the outlier pasted into the image as in OpenOOD's trainer.
    """
    _check(images, targets, outliers)
    config = config or MixOE()
    share = float(rng.beta(config.alpha, config.beta))
    others = outliers.repeat(math.ceil(len(images) / len(outliers)), 1, 1, 1)[: len(images)]
    if config.kind == "cutmix":
        mixed, share = _paste(images, others, share, rng)
    else:
        mixed = images * share + others * (1 - share)
    return mixed, targets * share + (1 - share) / targets.shape[1]


def _paste(
    images: Tensor, others: Tensor, share: float, rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Paste a rectangle of about 1 − share of the area; returns the share that really stays."""
    height, width = images.shape[-2:]
    side = math.sqrt(1 - share)
    rows, columns = _span(height, side, rng), _span(width, side, rng)
    mixed = images.clone()
    mixed[..., rows, columns] = others[..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _span(length: int, share: float, rng: np.random.Generator) -> slice:
    size, centre = int(length * share), int(rng.integers(length))
    return slice(max(0, centre - size // 2), min(length, centre + size // 2))


def _check(images: Tensor, targets: Tensor, outliers: Tensor) -> None:
    shapes = f"images {tuple(images.shape)}, outliers {tuple(outliers.shape)}"
    if images.ndim != 4 or images.shape[1:] != outliers.shape[1:] or not len(outliers):
        raise ShapeError(
            "ID images and outliers (B, C, H, W) of one size",
            shapes,
            "preprocess the outliers as the ID images are",
        )
    if targets.ndim != 2 or len(targets) != len(images) or not targets.is_floating_point():
        raise ShapeError(
            "targets (B, K) of probabilities",
            f"{tuple(targets.shape)} {targets.dtype} for {len(images)} images",
            "turn labels into rows first (data.soft_targets)",
        )
