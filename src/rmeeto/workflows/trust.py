"""The outliers of a rebuild with --trust, and what its flags make of the recipe."""

from __future__ import annotations

from ..data import DerivedOutliers, ImageSource, available_splits, cache, open_source
from ..errors import ConfigError
from ..retrain import Recipe
from .options import TrustOptions

_MAX_DROP = 2.0


def trusting(recipe: Recipe, options: TrustOptions) -> Recipe:
    """The recipe with the losses on outliers, if they were asked for.

    Raises:
        ConfigError: outliers or a limit without --trust.
    """
    if not options.trust:
        for flag, value in (("--outliers", options.outliers), ("--max-drop", options.max_drop)):
            if value is not None:
                raise ConfigError(flag, str(value), "it belongs to --trust; add that")
        return recipe
    limit = _MAX_DROP if options.max_drop is None else options.max_drop
    return recipe.changed(trust=recipe.trust or {}, max_drop=recipe.max_drop or limit)


def open_outliers(
    options: TrustOptions, train: ImageSource, seed: int
) -> tuple[ImageSource | None, tuple[str, ...]]:
    """The outliers, or None without --trust; and what the user should know about them.

    Raises:
        ConfigError: classes of the data are among the outliers, by name.
    """
    if not options.trust:
        return None, ()
    if options.outliers is None:
        derived = DerivedOutliers(train, seed)
        return derived, (f"no --outliers: trained against {derived.name}, which are substitutes",)
    found = available_splits(options.outliers)
    split = "train" if "train" in found or not found else found[0]
    source = cache(open_source(options.outliers, split))
    same = sorted({c.lower() for c in source.classes} & {c.lower() for c in train.classes})
    if same and not all(name.isdigit() for name in same):
        reason = "the model would unlearn its own classes; take these folders out"
        raise ConfigError("outliers of none of the classes", ", ".join(same[:5]), reason)
    return source, ()
