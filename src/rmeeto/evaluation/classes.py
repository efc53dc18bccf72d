"""Who pays for a change: accuracy class by class, and answers that flip. Accuracies in percent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ShapeError
from .checks import logits_and_labels
from .metrics import correct


def per_class_accuracy(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Top-1 accuracy of the images of each class, in percent.

    Args:
        logits: (n, K), any float type.
        labels: (n,) whole numbers in [0, K).

    Returns:
        (K,) percent; NaN for a class without images.

    Raises:
        ShapeError: shapes that don't fit, labels out of range, NaN or infinite logits.
    """
    f, y = logits_and_labels(logits, labels)
    images = np.bincount(y, minlength=f.shape[1])
    right = np.bincount(y, correct(f, y), minlength=f.shape[1])
    return np.where(images > 0, 100 * right / np.maximum(images, 1), np.nan)


def worst_class_accuracy(logits: ArrayLike, labels: ArrayLike) -> tuple[float, int]:
    """The lowest of `per_class_accuracy` in percent, and its class (the first among equals)."""
    accuracy = per_class_accuracy(logits, labels)
    worst = int(np.nanargmin(accuracy))
    return float(accuracy[worst]), worst


@dataclass(frozen=True)
class Flips:
    """How many images changed their answer, by kind."""

    correct_to_wrong: int
    """Right before, wrong after."""
    wrong_to_correct: int
    """Wrong before, right after."""
    wrong_to_other: int
    """Wrong both times, with another class."""
    images: int
    """All images, changed or not."""

    @property
    def rate(self) -> float:
        """Share of images whose answer changed, in [0, 1]."""
        return (self.correct_to_wrong + self.wrong_to_correct + self.wrong_to_other) / self.images

    @property
    def accuracy_change(self) -> float:
        """Accuracy after minus before, in percentage points."""
        return 100 * (self.wrong_to_correct - self.correct_to_wrong) / self.images


def flips(before: ArrayLike, after: ArrayLike, labels: ArrayLike) -> Flips:
    """Count the answers that differ between two models on the same images.

    Args:
        before, after: (n,) predicted classes (``logits.argmax(1)``).
        labels: (n,) true classes.

    Raises:
        ShapeError: no images, lengths that differ, or anything but whole numbers.

    Example:
        >>> flips([0, 1, 2, 2], [0, 2, 1, 0], [0, 1, 1, 1])
        Flips(correct_to_wrong=1, wrong_to_correct=1, wrong_to_other=1, images=4)
    """
    a, b, y = (np.asarray(x) for x in (before, after, labels))
    if a.ndim != 1 or not a.size or not a.shape == b.shape == y.shape:
        given = f"{a.shape}, {b.shape} and {y.shape}"
        raise ShapeError(
            "three vectors of n ≥ 1 classes", given, "use the same images in one order"
        )
    if any(x.dtype.kind not in "iu" for x in (a, b, y)):
        given = f"{a.dtype}, {b.dtype} and {y.dtype}"
        raise ShapeError("predicted classes as whole numbers", given, "take logits.argmax(1) first")
    right_before, right_after = a == y, b == y
    other = ~right_before & ~right_after & (a != b)
    return Flips(
        int((right_before & ~right_after).sum()),
        int((~right_before & right_after).sum()),
        int(other.sum()),
        len(y),
    )
