"""Labels from elsewhere: sets whose classes are matched by name, and several right labels an image."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ...data import ImageSource, Renumbered, Subset
from ...errors import ConfigError, DataError
from ...reporting.record import read_json

LabelSets = Sequence[Collection[int]]
"""The right labels of each image; none where no class is right."""


def shifted_sets(given: Sequence[ImageSource], inside: ImageSource) -> list[ImageSource]:
    """Test sets whose labels count in the classes of the ID images.

    Raises:
        DataError: a set with images of a class that the ID images lack, or the ID images themselves.
        ConfigError: two sets of one name.
    """
    for source in given:
        if source.fingerprint() == inside.fingerprint():
            reason = "a shifted set has the same classes, and other images"
            raise DataError("a shifted set", f"{source.name}, the ID images", reason)
    names = [source.name for source in given]
    if len(set(names)) < len(names):
        reason = "the report tells them apart by name; rename one"
        raise ConfigError("shifted sets of different names", ", ".join(names), reason)
    return [Renumbered(source, inside.classes) for source in given]


_IMAGENET_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\b")


def open_real(path: Path, evaluation: ImageSource) -> LabelSets:
    """The right labels of each evaluation image, from JSON.

    Args:
        path: a list with one list of labels for each image of the whole evaluation split, in its order
            (for files named ILSVRC2012_val_… by their number), or an object from file names to lists.
            Labels are class names or numbers; an empty list says that no class is right.

    Raises:
        ConfigError: no such file, or not JSON. DataError: labels that don't fit the images.
    """
    asked = f"ReaL labels of {evaluation.name}"
    found = read_json(path, asked)
    if isinstance(found, dict):
        rows = [found.get(_file(evaluation, i)) for i in range(len(evaluation))]
        if all(row is None for row in rows):
            example = _file(evaluation, 0)
            reason = (
                "keys are file names without folders; or give a list in the order of the images"
            )
            raise DataError(asked, f"{path} without a key such as {example!r}", reason)
        rows = [row or [] for row in rows]
    elif isinstance(found, list):
        rows = [found[i] for i in _places(found, evaluation, asked, path)]
    else:
        raise DataError(asked, str(path), "give a list of lists, or an object from names to lists")
    numbers = {name: k for k, name in enumerate(evaluation.classes)}
    return [_labels(row, numbers, asked) for row in rows]


def _places(found: list, evaluation: ImageSource, asked: str, path: Path) -> list[int]:
    """Where the labels of each evaluation image stand in the list."""
    numbered = [_IMAGENET_NAME.search(_file(evaluation, i)) for i in range(len(evaluation))]
    whole = evaluation.source if isinstance(evaluation, Subset) else evaluation
    if all(numbered):
        places = [int(match.group(1)) - 1 for match in numbered if match]
        fits = max(places) < len(found)
    else:
        part = isinstance(evaluation, Subset)
        places = evaluation.indices.tolist() if part else list(range(len(evaluation)))
        fits = len(found) == len(whole)
    if not fits:
        reason = "give one list for each image of the split, in its order"
        raise DataError(asked, f"{len(found)} entries in {path} for {len(whole)} images", reason)
    return places


def _labels(row: Any, numbers: dict[str, int], asked: str) -> frozenset[int]:
    row = row if isinstance(row, list) else [row]
    labels = [numbers.get(x, -1) if isinstance(x, str) else x for x in row]
    fit = all(type(x) is int and 0 <= x < len(numbers) for x in labels)
    if not fit:
        reason = f"labels are names of classes, or numbers from 0 to {len(numbers) - 1}"
        raise DataError(asked, repr(row)[:60], reason)
    return frozenset(labels)


def _file(source: ImageSource, index: int) -> str:
    return Path(source.item_name(index)).name
