"""No class may lose more than a limit: weights of the classes, moved by what each lost in validation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data import ImageSource
from ..errors import ConfigError
from .recipe import Recipe

RATE = 5.0
"""A class that has lost 10 points more than the limit counts exp(0.5) = 1.65 times as much after a validation."""
HEAVIEST = 8.0
"""What a class counts at most, next to one that has always been within the limit."""


class ClassBound:
    """Weights of the classes in the cross-entropy, by multiplicative updates.

    After each validation ``w_c ← clip(w_c · exp(RATE · (drop_c − limit)), 1, HEAVIEST)``, where
    ``drop_c`` is what class c has lost against the unreduced model, as a share of its validation
    images. A class within the limit grows lighter again, down to 1. Classes without validation
    images stay at 1.

    Args:
        limit: points that a class may lose, above 0.
        unreduced: (K,) accuracy of the unreduced model by class, 0 to 1; NaN for classes without images.

    Source: Arora, Hazan & Kale 2012, "The Multiplicative Weights Update Method"; for groups of images
    Sagawa et al. 2020 (arXiv 1911.08731), algorithm 1; differs in: moved by validation accuracy
    against a reference and a limit, instead of by training losses.
    """

    def __init__(self, limit: float, unreduced: Sequence[float]) -> None:
        self.limit = limit / 100
        self.unreduced = torch.tensor(unreduced, dtype=torch.float64)
        self.raw = torch.ones_like(self.unreduced)

    @property
    def weights(self) -> Tensor:
        """(K,) float32 with mean 1."""
        return (self.raw / self.raw.mean()).float()

    def drops(self, accuracies: Sequence[float]) -> Tensor:
        """(K,) what each class has lost, −1 to 1; 0 for classes without images."""
        return (self.unreduced - torch.tensor(accuracies, dtype=torch.float64)).nan_to_num(0.0)

    def worst(self, accuracies: Sequence[float]) -> float:
        """What the class that lost most has lost, −1 to 1."""
        return float(self.drops(accuracies).max())

    def update(self, accuracies: Sequence[float]) -> None:
        """Move the weights by (K,) validation accuracies, 0 to 1."""
        factor = (RATE * (self.drops(accuracies) - self.limit)).exp()
        self.raw = (self.raw * factor).clamp(1.0, HEAVIEST)

    def worth(self, accuracies: Sequence[float], worth: float) -> float:
        """What decides which weights are kept: ``worth`` within the limit, else how far beyond it.

        Any weights within the limit are worth more (0 or more) than any beyond it (below 0).
        """
        beyond = self.worst(accuracies) - self.limit
        return worth if beyond <= 1e-9 else -beyond

    def fallen(self, worst: Sequence[float]) -> bool:
        """Whether a class is down by twice the limit, after none was beyond it.

        Args:
            worst: the worst drop of each validation so far, the better of weights and average.
        """
        within = any(drop <= self.limit + 1e-9 for drop in worst)
        return within and worst[-1] > 2 * self.limit


def check(recipe: Recipe, val: ImageSource | None, unreduced: nn.Module | None) -> None:
    """Refuse a limit by class without images to judge by, or a model to compare with.

    Raises:
        ConfigError: with what to give.
    """
    if recipe.max_class_drop is None:
        return
    asked = f"max_class_drop {recipe.max_class_drop:g}"
    if val is None:
        raise ConfigError(asked, "no validation images", "they tell what a class loses; give val")
    if unreduced is None:
        reason = "give the unreduced model as teacher (rebuild does); or use max_drop"
        raise ConfigError(asked, "no model to compare with", reason)
    if recipe.keep != "best":
        reason = "the limit decides which weights are the best; set keep = best"
        raise ConfigError(asked, f"keep = {recipe.keep}", reason)
