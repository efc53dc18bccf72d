"""Accuracy from logits, image by image."""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError, ShapeError
from .intervals import Interval, bootstrap


def correct(logits: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Whether each image's label is among its ``k`` largest logits.

    Ties go to the lower class index, so the answer never depends on a sorting routine. An image
    with a NaN among its logits is wrong. With ``k`` ≥ K every other image is right.

    Args:
        logits: (n, K), any float type.
        labels: (n,) class indices in [0, K).
        k: how many guesses count, ≥ 1.

    Returns:
        (n,) booleans.

    Raises:
        ShapeError: shapes that don't fit or labels out of range. ConfigError: k < 1.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    _check(logits, labels, k)
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
    return (rank < k) & ~np.isnan(logits).any(axis=1)


def accuracy(logits: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Top-``k`` accuracy in percent (arguments as `correct`)."""
    return 100.0 * float(correct(logits, labels, k).mean())


def accuracies(
    logits: np.ndarray, labels: np.ndarray, ks: tuple[int, ...] = (1, 5), seed: int = 0
) -> dict[str, Interval]:
    """Top-k accuracies in percent with bootstrap intervals, as ``{"top1": …, "top5": …}``.

    A ``k`` that is not below the number of classes is left out: it would always read 100 %.
    """
    classes = np.asarray(logits).shape[1]
    return {f"top{k}": bootstrap(correct(logits, labels, k), seed) for k in ks if k < classes}


def _check(logits: np.ndarray, labels: np.ndarray, k: int) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ShapeError(
            "logits (n, K) and labels (n,)",
            f"{logits.shape} and {labels.shape}",
            "both need the same n ≥ 1",
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ShapeError(
            f"labels from 0 to {logits.shape[1] - 1}",
            f"{labels.min()} to {labels.max()}",
            "the model has fewer classes than the data; use a head that fits (reset_classifier)",
        )
    if k < 1:
        raise ConfigError("k of at least 1", str(k), "top-1 and top-5 are the usual ones")
