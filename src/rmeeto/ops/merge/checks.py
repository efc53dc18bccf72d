"""What the merge ops refuse, and why."""

import torch
from torch import Tensor

from ...errors import ConfigError, ShapeError

DISTANCES = ("cosine", "l1", "l2")


def check_match(features: Tensor, protected: Tensor, r: int, distance: str, kth: int) -> None:
    """Refuse shapes that do not fit and settings out of range for any input."""
    asked = "bipartite_match"
    fits = features.dim() == 3 and protected.shape == features.shape[:2]
    if not fits or protected.dtype != torch.bool:
        given = f"features {_describe(features)}, protected {_describe(protected)}"
        raise ShapeError(asked, given, "features must be (B, N, F) and protected (B, N) of bool")
    if distance not in DISTANCES:
        raise ConfigError(asked, f"distance={distance!r}", f"known: {', '.join(DISTANCES)}")
    if r < 0 or kth < 1:
        raise ConfigError(asked, f"r={r}, kth={kth}", "r must be at least 0 and kth at least 1")
    if r > protected.shape[1] // 2:
        raise too_many(r, protected.shape[1])


def check_free(counts: list[int], r: int, kth: int) -> None:
    """Refuse what the number of unprotected tokens of each image rules out."""
    if any(count != counts[0] for count in counts):
        raise unequal()
    targets = counts[0] // 2 if counts else r
    if r > targets:
        raise too_many(r, counts[0])
    if counts and kth > targets:
        reason = f"a source has {targets} targets to rank: kth={targets} is the last"
        raise ConfigError("bipartite_match", f"kth={kth}", reason)


def too_many(r: int, free: int) -> ConfigError:
    """The error for an r beyond half of the unprotected tokens."""
    reason = f"one step removes at most half of them: r={free // 2}"
    return ConfigError("bipartite_match", f"r={r} of {free} unprotected tokens", reason)


def unequal() -> ShapeError:
    """The error for images that protect different numbers of tokens."""
    reason = "every image of a batch must protect the same number; match them one by one"
    return ShapeError(
        "bipartite_match", "images with different numbers of protected tokens", reason
    )


def check_slots(asked: str, x: Tensor, weight: Tensor | None, assign: Tensor) -> None:
    """Refuse rows, weights and slots whose shapes do not fit."""
    if x.dim() != 3 or assign.shape != x.shape[:2] or assign.dtype != torch.int64:
        given = f"rows {_describe(x)}, assign {_describe(assign)}"
        raise ShapeError(asked, given, "rows must be (B, N, C) and assign (B, N) of int64")
    if weight is not None and weight.shape != assign.shape:
        given = f"weights {_describe(weight)}, assign {_describe(assign)}"
        raise ShapeError(asked, given, "weights must be (B, N), one value a row")


def check_range(asked: str, assign: Tensor, m: int) -> None:
    """Refuse slots that point nowhere; on other devices than the CPU it would cost a wait."""
    if assign.device.type == "cpu" and assign.numel():
        low, high = assign.aminmax()
        if low < 0 or high > m:
            raise bad_slot(asked, m)


def bad_slot(asked: str, m: int) -> ShapeError:
    """The error for an assignment that points nowhere."""
    return ShapeError(asked, f"an assign with slots outside 0 … {m}", f"use {m} to drop a row")


def _describe(x: Tensor) -> str:
    return f"{tuple(x.shape)} of {str(x.dtype).removeprefix('torch.')}"
