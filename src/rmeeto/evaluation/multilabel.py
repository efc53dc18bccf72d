"""Accuracy where an image may have several right answers ("ReaL" labels)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ShapeError
from .intervals import Interval, bootstrap, paired_difference


def real_correct(
    logits: ArrayLike, label_sets: Sequence[Collection[int]]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether the first guess is among an image's labels; images without labels are left out.

    Ties go to the lower class, and an image with a NaN among its logits is wrong, as in `correct`.

    Args:
        logits: (n, K), any float type.
        label_sets: n collections of classes in [0, K), empty ones allowed.

    Returns:
        (m,) booleans and (m,) positions of the images that have labels, m ≤ n.

    Raises:
        ShapeError: shapes that don't fit, a class out of range, or no image with a label.

    Source: Beyer, Hénaff, Kolesnikov, Zhai, van den Oord, "Are we done with ImageNet?"
    (arXiv:2006.07159).

    Example:
        >>> real_correct([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], [{0, 1}, set(), {1}])
        (array([ True, False]), array([0, 2]))
    """
    f = np.asarray(logits)
    if f.ndim != 2 or len(f) != len(label_sets) or not f.size:
        given = f"{f.shape} and {len(label_sets)} sets"
        raise ShapeError("logits (n, K) and n label sets", given, "both need the same n ≥ 1")
    used = {int(label) for labels in label_sets for label in labels}
    if not used or min(used) < 0 or max(used) >= f.shape[1]:
        given = f"{min(used)} to {max(used)}" if used else "no image with a label"
        raise ShapeError(f"labels from 0 to {f.shape[1] - 1}", given, "check the class order")
    kept = np.array([i for i, labels in enumerate(label_sets) if len(labels)], np.int64)
    broken = np.isnan(f).any(axis=1)
    guess = np.where(broken, -1, np.argmax(f, axis=1))
    right = [int(guess[i]) in {int(x) for x in label_sets[i]} for i in kept]
    return np.array(right, bool), kept


def real_accuracy(
    logits: ArrayLike, label_sets: Sequence[Collection[int]], seed: int = 0
) -> Interval:
    """Share of images with labels whose first guess is one of them, in "%" (see `real_correct`)."""
    return bootstrap(real_correct(logits, label_sets)[0], seed)


def real_difference(
    logits_a: ArrayLike, logits_b: ArrayLike, label_sets: Sequence[Collection[int]], seed: int = 0
) -> Interval:
    """ReaL accuracy of b minus that of a on the same images, paired, in "pt"."""
    a, b = (real_correct(logits, label_sets)[0] for logits in (logits_a, logits_b))
    return paired_difference(b, a, seed)
