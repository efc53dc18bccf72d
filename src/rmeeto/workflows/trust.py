"""The outliers of a rebuild with --trust, and what its flags make of the recipe."""

from __future__ import annotations

from collections.abc import Sequence

from ..backbones import Backbone
from ..data import DerivedOutliers, ImageSource, available_splits, cache, open_source
from ..errors import ConfigError
from ..evaluation import head_of
from ..retrain import Recipe
from ..retrain.trust import check_enough, width_warning
from .auditing.inputs import OutlierSet, shared_classes
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


def check_room(
    recipe: Recipe, model: Backbone, outliers: ImageSource | None
) -> tuple[str, ...]:
    """A warning, before the training, where the features leave outliers no direction of their own.

    Raises:
        ConfigError: fewer outliers than a step takes.
    """
    if recipe.trust is None or outliers is None:
        return ()
    check_enough(recipe, outliers)
    classes, width = head_of(model).weight.shape
    warning = width_warning(recipe, width, classes)
    return () if warning is None else (warning,)


def check_unseen(
    options: TrustOptions, outliers: ImageSource | None, sets: Sequence[OutlierSet]
) -> tuple[str, ...]:
    """What the user should know where outliers and the sets that are reported on share classes.

    Args:
        outliers: what is trained against; None or derived from the training images says nothing.
        sets: the OOD sets of the audit.

    Raises:
        ConfigError: a set is the outliers' own, or all of its classes are among theirs by name.
    """
    if outliers is None or options.outliers is None:
        return ()
    notes = []
    for each in sets:
        shared = shared_classes(each, outliers)
        present = {each.source.classes[k] for k in each.source.labels}
        if each.given == options.outliers or len(shared) == len(present):
            given = f"--outliers {options.outliers} and --ood {each.kind}:{each.given}"
            reason = "the model would be judged on what it was trained against; give other outliers"
            raise ConfigError("outliers of none of the OOD sets", given, reason)
        if shared:
            named = ", ".join(shared[:5])
            notes.append(f"{each.title} shares {len(shared)} classes with --outliers ({named})")
    return tuple(notes)
