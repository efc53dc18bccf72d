"""What arrays of scores, logits and labels must look like before anything is measured on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, ShapeError

Vector = NDArray[np.float64]


def score_vector(values: ArrayLike, what: str) -> Vector:
    """One finite score for each image, (n,) with n ≥ 1, as float64 (exact for float32).

    Raises:
        ShapeError: another shape, no images, half precision, or NaN and infinities (with their
            count).
    """
    array = np.asarray(values)
    if array.ndim != 1 or not array.size:
        why = "give one score for each image, and at least one image in each set"
        raise ShapeError(f"{what}: a vector of scores", f"shape {array.shape}", why)
    if array.dtype.kind not in "fiu" or (array.dtype.kind == "f" and array.dtype.itemsize < 4):
        why = "half precision ties most scores; cast the logits to float32 before the softmax"
        raise ShapeError(f"{what} in float32 or float64", str(array.dtype), why)
    check_finite(array, what)
    return array.astype(np.float64)


def check_finite(array: np.ndarray, what: str) -> None:
    """Raise a `ShapeError` that counts the NaN and the infinities, if there are any."""
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    if nan or infinite:
        raise ShapeError(
            f"{what}: finite numbers",
            f"{nan} NaN and {infinite} infinite of {array.size}",
            "sorting would rank them silently; find the images that break the model, or leave them out",
        )


def flag_vector(values: ArrayLike, length: int, what: str) -> NDArray[np.bool_]:
    """One yes or no for each of ``length`` images, as booleans; zeros and ones are taken too."""
    array = np.asarray(values)
    if array.shape != (length,) or not np.isin(array, (0, 1)).all():
        why = "give a boolean for each image, in the order of the others"
        raise ShapeError(f"{what}: {length} booleans", f"shape {array.shape} {array.dtype}", why)
    return array.astype(np.bool_)


def logits_and_labels(
    logits: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits (n, K) in float64 and labels (n,) in [0, K), or a `ShapeError`."""
    f, y = np.asarray(logits), np.asarray(labels)
    if f.ndim != 2 or y.shape != f.shape[:1] or not f.size:
        why = "both need the same n ≥ 1"
        raise ShapeError("logits (n, K) and labels (n,)", f"{f.shape} and {y.shape}", why)
    check_finite(f, "logits")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= f.shape[1]:
        given = f"{y.dtype}, {y.min()} to {y.max()}"
        raise ShapeError(f"whole labels from 0 to {f.shape[1] - 1}", given, "check the class order")
    return f.astype(np.float64), y.astype(np.int64)


def check_share(value: float, name: str, usual: str) -> None:
    """Raise a `ConfigError` unless ``value`` lies in (0, 1)."""
    if not 0 < value < 1:
        raise ConfigError(f"{name} between 0 and 1", str(value), f"{usual} is the usual one")


def check_draws(n: int) -> None:
    """Raise a `ConfigError` unless a bootstrap is asked for at least one draw."""
    if n < 1:
        raise ConfigError("one draw or more", str(n), "1000 is the usual number")


def share_ties(values: Vector, keys: Vector) -> Vector:
    """``values`` averaged over images of equal key, so that no result depends on their order."""
    _, group, size = np.unique(keys, return_inverse=True, return_counts=True)
    return (np.bincount(group, values) / size)[group]
