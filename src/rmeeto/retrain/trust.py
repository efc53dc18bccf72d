"""Setting up a re-training with outliers, from the recipe and the model as it is at the start."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from ..config import from_dict
from ..data import ImageSource, Preprocessing, split_validation, take
from ..errors import ConfigError
from ..evaluation import collect
from ..objectives import (
    EnergyMargins,
    TrustObjective,
    free_energy,
    principal_basis,
    subspace_warning,
)
from .criterion import Trusting
from .feed import Feed
from .recipe import Recipe
from .world import World

HELD_OUT = 0.1
"""Share of the outliers that is never trained on and helps to choose which weights are kept."""
LOOKED_AT = 2_000
"""Images, at most, whose outputs set energy margins and principal directions."""


@dataclass(frozen=True)
class Trust:
    """Outliers to train on and to choose by, and what is minimised with them."""

    criterion: Trusting
    feed: Feed
    held_out: ImageSource
    warning: str | None
    """What the user should know about the chosen terms on this model."""


def prepare(
    model: nn.Module, recipe: Recipe, train: ImageSource, outliers: ImageSource,
    preprocessing: Preprocessing, teacher: nn.Module | None, world: World,
) -> Trust:  # fmt: skip
    """Set everything up from the model at the start, whose energies and features decide.

    Raises:
        ConfigError: settings that don't fit each other, or fewer outliers than a step needs.
    """
    check_enough(recipe, outliers)
    kept, held_out = split_validation(outliers, HELD_OUT, recipe.seed)
    look = _Look(model, preprocessing, recipe.seed)
    objective = _objective(recipe, look, train, kept)
    basis = warning = None
    if objective.separation_weight > 0 and objective.subspace == "principal":
        basis = principal_basis(look(train, "features")).to(next(model.parameters()))
    else:
        warning = width_warning(recipe, look(train, "features", 1).shape[1], len(train.classes))
    device = next(model.parameters()).device
    criterion = Trusting(objective, teacher, basis, len(train.classes))
    feed = Feed(kept, outlier_recipe(recipe), preprocessing, device, world)
    return Trust(criterion, feed, held_out, warning)


def check_enough(recipe: Recipe, outliers: ImageSource) -> None:
    """Refuse fewer outliers than a step takes and, beside them, a tenth to choose the weights by.

    Raises:
        ConfigError: so many are missing.
    """
    wanted, images = recipe.outlier_batch or recipe.batch_size, len(outliers)
    kept = images - round(HELD_OUT * images)
    if kept >= wanted and kept < images:
        return
    reason = f"give more images, a smaller batch, or a recipe with outlier_batch of {max(kept, 1)} or less"
    if kept == images:
        reason = "give more images: not one can be held out"
    raise ConfigError(
        f"{wanted} outliers a step, and a tenth of all to choose the weights by",
        f"{images} in {outliers.name}",
        reason,
    )


def width_warning(recipe: Recipe, width: int, classes: int) -> str | None:
    """What the separation of a recipe with ``trust`` lacks at this feature width; None if nothing."""
    settings = recipe.trust or {}
    if settings.get("subspace") == "principal" or settings.get("separation_weight") == 0:
        return None
    return subspace_warning(width, classes)


def check(recipe: Recipe, outliers: ImageSource | None) -> None:
    """Refuse outliers without settings for them, and settings without outliers."""
    if (recipe.trust is None) == (outliers is None):
        return
    if outliers is None:
        given, way_out = "a recipe with trust, and no outliers", "give the images: outliers=…"
    else:
        given, way_out = "outliers, and a recipe without trust", "set the recipe's trust = {}"
    raise ConfigError("a re-training with outliers", given, way_out)


def outlier_recipe(recipe: Recipe) -> Recipe:
    """How outliers are fed: a batch and an order of their own, all of them, never mixed."""
    augment = recipe.augment
    if isinstance(augment, dict):
        augment = {**augment, "mixup": 0.0, "cutmix": 0.0}
    elif augment != "none":
        augment = "light"
    return replace(
        recipe, batch_size=recipe.outlier_batch or recipe.batch_size, accumulate=1, data_fraction=1.0, views=None,
        repeats=None, augment=augment, seed=recipe.seed + 1,
    )  # fmt: skip


def _objective(
    recipe: Recipe, look: _Look, train: ImageSource, outliers: ImageSource
) -> TrustObjective:
    settings = {
        "smoothing": recipe.smoothing or 0.0,
        "distill_weight": recipe.distill_weight,
        "temperature": recipe.distill_temperature,
        **({} if recipe.logit_norm is None else {"logit_norm": recipe.logit_norm}),
        **(recipe.trust or {}),
    }
    if settings.get("energy_weight") and not settings.get("margins"):
        inside, outside = (free_energy(look(source, "logits")) for source in (train, outliers))
        settings["margins"] = asdict(EnergyMargins.from_energies(inside, outside))
    return from_dict(TrustObjective, settings, "trust.")


class _Look:
    """What the model puts out, before it is trained, for some images of a source."""

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, seed: int) -> None:
        self.model, self.preprocessing, self.seed = model, preprocessing, seed

    def __call__(self, source: ImageSource, part: str, images: int = LOOKED_AT) -> Tensor:
        some = take(source, min(images, len(source)), self.seed)
        return torch.from_numpy(collect(self.model, some, self.preprocessing).run.parts[part])
