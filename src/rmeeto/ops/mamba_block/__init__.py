"""A whole Vision Mamba block: a definition and, without gradient, one fused CPU op."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ...errors import ShapeError
from .. import dispatch
from ..bidirectional_mamba import Direction, Features, projected_features
from . import native, op  # noqa: F401  importing `op` defines the torch op
from .reference import BlockWeights
from .reference import mamba_block as definition

__all__ = ["BlockWeights", "fused_block", "mamba_block", "worth_asking"]


def mamba_block(
    stream: Tensor,
    weights: BlockWeights,
    ahead: Direction,
    back: Direction,
    eps: float = 1e-5,
    scale: float = 1.0,
    features: Collection[str] = (),
) -> tuple[Tensor, Features]:
    """Norm, mix in both directions, and add to the residual stream.

    out = stream + scale · mix(norm(stream) W_inᵀ) W_outᵀ, where norm is `rms_norm` and mix is
    `bidirectional_mamba`.

    Args:
        stream: (B,L,C).
        weights: of the norm and the two projections.
        ahead: parameters of the scan from the first token to the last.
        back: parameters of the scan from the last token to the first.
        eps: of the norm.
        scale: of the mixed tokens: 0.5 averages the directions.
        features: of "b", "c" and "delta", to be returned too.

    Returns:
        (B,L,C) in the stream's type, and the features as `bidirectional_mamba` returns them. The
        fused op needs float32, no gradient, and projections that fit a core's cache.

    Raises:
        ShapeError: shapes that don't fit each other.
        BackendError: RMEETO_BACKEND=native can't be met.

    Source: Zhu et al. 2024, Vision Mamba, algorithm 1; differs in: the sum of the directions is
    scaled before the output projection, as in every published checkpoint.
    """
    _check(stream, weights, ahead)
    if dispatch.choose("mamba_block", native.obstacle(stream, weights, ahead, back)) == "native":
        return _fused(stream, weights, ahead, back, eps, scale, features)[:2]
    out, found = definition(stream, weights, ahead, back, eps, scale)
    return out, {name: (found[name][0].detach(), found[name][1].detach()) for name in features}


def worth_asking(in_proj: Tensor, out_proj: Tensor) -> bool:
    """Whether `fused_block` may take these projections: the cheap half of what it checks."""
    return native.hopeless(in_proj, out_proj) is None


def fused_block(
    stream: Tensor,
    weights: BlockWeights,
    ahead: Direction,
    back: Direction,
    eps: float,
    scale: float,
    features: Collection[str],
    keep_update: bool = False,
) -> tuple[Tensor, Features, Tensor] | None:
    """`mamba_block` of a model's own parameters if it is one kernel, else None: its modules do as well.

    With ``keep_update`` it also returns what was added to the stream (B,L,C), else nothing there.
    """
    if native.obstacle(stream, weights, ahead, back) is not None:
        return None
    if dispatch.choose("mamba_block", None) != "native":
        return None
    return _fused(stream, weights, ahead, back, eps, scale, features, keep_update)


def _fused(
    stream, weights, ahead, back, eps, scale, features, keep_update=False
) -> tuple[Tensor, Features, Tensor]:
    out, projected, update = torch.ops.rmeeto.mamba_block(
        stream, *weights, list(ahead), list(back), eps, scale, bool(features), keep_update
    )
    return out, projected_features(features, projected, (ahead, back)), update


def _check(stream: Tensor, weights: BlockWeights, ahead: Direction) -> None:
    inner = ahead.A_log.shape[0]
    width = stream.shape[-1] if stream.dim() == 3 else -1
    if tuple(w.shape for w in weights) != ((width,), (2 * inner, width), (width, inner)):
        given = f"stream {tuple(stream.shape)}, " + ", ".join(
            f"{name} {tuple(w.shape)}" for name, w in weights._asdict().items()
        )
        reason = f"stream must be (B, L, C), norm (C,), in_proj ({2 * inner}, C), out_proj (C, {inner})"
        raise ShapeError("mamba_block", given, reason)
