"""What a step minimises: the model's losses on a micro-batch, with or without outliers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..data import soft_targets
from ..evaluation import tapped
from ..objectives import Objective, Outputs, TrustObjective, mix_with_outliers
from .feed import Views
from .teacher import Teacher

Losses = dict[str, Tensor]
Criterion = Callable[[nn.Module, Views, Views | None, float], tuple[Losses, Tensor]]
"""(model, images, outliers, share of the training that is over) → (named losses, logits (B, K))."""


class Plain:
    """Cross-entropy and distillation of the logits."""

    def __init__(self, objective: Objective, teacher: Teacher | None) -> None:
        self.objective, self.teacher = objective, teacher
        self.class_weights: Tensor | None = None

    def __call__(
        self, model: nn.Module, views: Views, outliers: Views | None, progress: float
    ) -> tuple[Losses, Tensor]:
        """Losses of the micro-batch; there are no outliers here, and nothing is ramped."""
        logits = model(views.images)
        expected = None if self.teacher is None else self.teacher(views)
        return self.objective(logits, views.targets, expected, self.class_weights), logits


class Trusting:
    """The same and the losses on outliers: images and outliers go through the model together.

    Args:
        objective: the terms and their weights.
        teacher: runs on every view (its features are compared too), or None.
        basis: (d, k) directions of in-distribution features, for ``subspace="principal"``.
        classes: K, of the targets that images and outliers are mixed with.
    """

    def __init__(
        self, objective: TrustObjective, teacher: nn.Module | None, basis: Tensor | None, classes: int
    ) -> None:
        self.objective, self.basis, self.classes = objective, basis, classes
        self.class_weights: Tensor | None = None
        self.teacher = None if teacher is None else teacher.eval()

    def __call__(
        self, model: nn.Module, views: Views, outliers: Views | None, progress: float
    ) -> tuple[Losses, Tensor]:
        """Losses of the micro-batch."""
        assert outliers is not None
        mixed, mixed_targets = self._mixtures(views, outliers)
        every, layer = outputs_of(model, torch.cat([views.images, outliers.images, *mixed]))
        sizes = [len(views), len(outliers), *map(len, mixed)]
        inside, outside, *mixtures = _split(every, sizes)
        expected = None
        if self.teacher is not None:
            with torch.no_grad():
                expected = outputs_of(self.teacher, views.images)[0]
        losses = self.objective(
            inside, views.targets, expected, outside, layer.weight, self.basis, progress,
            self.class_weights, (mixtures[0].logits, mixed_targets[0]) if mixtures else None,
        )  # fmt: skip
        return losses, inside.logits

    def _mixtures(self, views: Views, outliers: Views) -> tuple[list[Tensor], list[Tensor]]:
        """Mixed images and their targets, one entry each; none where they have no weight."""
        if self.objective.mixing_weight == 0:
            return [], []
        rng = np.random.default_rng([*views.keys[0].tolist(), *outliers.keys[0].tolist()])
        targets = views.targets
        if not targets.is_floating_point():
            targets = soft_targets(targets, self.classes)
        images, targets = mix_with_outliers(
            views.images, targets, outliers.images, rng, self.objective.mixing
        )
        return [images], [targets]


def outputs_of(model: nn.Module, images: Tensor) -> tuple[Outputs, nn.Linear]:
    """Logits (B, K) and features (B, d) of one pass, with gradient, and the layer between them."""
    with tapped(model) as tap:
        logits = model(images)
        layer, features = tap.read(logits)
    return Outputs(logits, features), layer


def _split(every: Outputs, sizes: list[int]) -> list[Outputs]:
    parts = zip(every.logits.split(sizes), every.features.split(sizes), strict=True)
    return [Outputs(logits, features) for logits, features in parts]
