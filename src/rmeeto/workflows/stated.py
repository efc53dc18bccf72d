"""What is said, or refused, about images and a model that do not quite belong together."""

from __future__ import annotations

from collections.abc import Sequence

from ..backbones import Backbone
from ..data import ImageSource, Preprocessing
from ..errors import DataError
from ..evaluation import first_image


def require_classes(source: ImageSource) -> ImageSource:
    """The source itself, unless it has one class: every answer would be right then.

    Raises:
        DataError: fewer than two classes.
    """
    if len(source.classes) < 2:
        given = f"{source.name} with {len(source.classes)}: {', '.join(source.classes)}"
        reason = "every answer would be right; give a folder with one sub-folder a class"
        raise DataError("images of two classes or more", given, reason)
    return source


def class_notes(model: Backbone, classes: Sequence[str]) -> list[str]:
    """A warning where a saved model names its outputs otherwise than the data names its classes."""
    own = model.metadata.get("classes")
    if own is None or len(own) != len(classes) or list(own) == list(classes):
        return []
    told = "in another order" if sorted(own) == sorted(classes) else "by other names"
    at = next(k for k, pair in enumerate(zip(own, classes, strict=True)) if pair[0] != pair[1])
    return [
        f"the model has the classes {told}: output {at} is its {own[at]!r}, and the data's {classes[at]!r}; "
        "answers are counted by number"
    ]


def size_notes(source: ImageSource, preprocessing: Preprocessing) -> list[str]:
    """A warning where images (the first is looked at) must be resized or change their colours."""
    shape = first_image(source).shape
    if preprocessing.fits(shape):
        return []
    wanted = size_in_words((*preprocessing.size, preprocessing.channels))
    return [f"{source.name}: images of {size_in_words(shape)} become {wanted}, as the model wants"]


def size_in_words(shape: Sequence[int]) -> str:
    """(H, W, C) as "32×32 colour"."""
    height, width, channels = shape
    return f"{height}×{width} {'grey' if channels == 1 else 'colour'}"
