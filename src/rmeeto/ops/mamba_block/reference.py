"""Definition of a Vision Mamba block: norm, projection, two-way mixing, projection, residual addition."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from ..bidirectional_mamba import Direction, scan_both
from ..rms_norm import rms_norm


class BlockWeights(NamedTuple):
    """The parameters of a block on C channels with inner width D, besides those of the directions.

    Args:
        norm: (C,) scale of the norm.
        in_proj: (2D,C), to input and gate.
        out_proj: (C,D), from the mixed tokens.
    """

    norm: Tensor
    in_proj: Tensor
    out_proj: Tensor


def mamba_block(
    stream: Tensor, weights: BlockWeights, ahead: Direction, back: Direction, eps: float, scale: float
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """(B,L,C) after the block, and "b", "c" and "delta" of both directions as `scan_both` has them."""
    normed = rms_norm(stream, weights.norm, eps)
    mixed, features = scan_both(F.linear(normed, weights.in_proj), ahead, back)
    return stream + F.linear(mixed, scale * weights.out_proj), features
