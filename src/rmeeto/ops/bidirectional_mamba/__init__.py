"""What a Vision Mamba block does between its projections: a definition and one fused CPU op."""

from __future__ import annotations

from collections.abc import Collection
from typing import overload

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import ShapeError
from .. import dispatch
from . import native, op  # noqa: F401  importing `op` defines the torch op
from .reference import Direction, scan_both

__all__ = ["Direction", "Features", "bidirectional_mamba", "projected_features", "scan_both"]


Features = dict[str, tuple[Tensor, Tensor]]


@overload
def bidirectional_mamba(xz: Tensor, ahead: Direction, back: Direction) -> Tensor: ...
@overload
def bidirectional_mamba(
    xz: Tensor, ahead: Direction, back: Direction, features: Collection[str]
) -> tuple[Tensor, Features]: ...
def bidirectional_mamba(
    xz: Tensor, ahead: Direction, back: Direction, features: Collection[str] | None = None
) -> Tensor | tuple[Tensor, Features]:
    """Scan the tokens forwards and backwards with own parameters, and gate the sum.

    With (x, z) = xz, for each direction: u = SiLU(conv(x)), (dt, B, C) = u·W_x,
    Δ = softplus(dt·W_dt + b_dt), h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = ⟨h_t, C_t⟩ + D u_t;
    output = (y_ahead + y_back) · SiLU(z), where A = −exp(A_log).

    Args:
        xz: (B,L,2D): input and gate side by side, as the input projection leaves them; fastest with
            stride 1 over the channels.
        ahead: parameters of the scan from the first token to the last.
        back: parameters of the scan from the last token to the first.
        features: of "b", "c" and "delta", to be returned too.

    Returns:
        (B,L,D) in xz's type (that of autocast, where it is on and the fused op can't run). The fused
        op computes in float32 and rounds (dt, B, C) to xz's type; it keeps nothing of the size of
        an activation for its gradient but xz: the rest is computed again. With ``features`` also
        a dict of them, without gradient, for (ahead, back) each: B and C (B,L,S), and Δ (B,L,D)
        before bias and softplus.

    Raises:
        ShapeError: shapes that don't fit each other.
        BackendError: RMEETO_BACKEND=native can't be met.

    Source: Zhu et al. 2024, Vision Mamba, algorithm 1, as ``bimamba_inner_fn`` there; differs in:
    two parameter sets for the small projections too, nothing is flipped.
    """
    _check(xz, ahead, back)
    obstacle = native.obstacle(xz, ahead, back)
    if dispatch.choose("bidirectional_mamba", obstacle) != "native":
        out, found = scan_both(xz, ahead, back)
        found = {name: (found[name][0].detach(), found[name][1].detach()) for name in features or ()}
    else:
        keep = torch.is_grad_enabled() or bool(features)
        out, projected = torch.ops.rmeeto.bidirectional_mamba(xz, list(ahead), list(back), keep)
        found = projected_features(features or (), projected, (ahead, back))
    return out if features is None else (out, found)


def projected_features(
    names: Collection[str], projected: Tensor, ways: tuple[Direction, Direction]
) -> Features:
    """ "b", "c" and "delta" of both directions from the (dt, B, C) (2,B,L,R+2S) that a kernel kept."""
    return {name: _feature(name, projected, ways) for name in names}


@torch.no_grad()
def _feature(
    name: str, projected: Tensor, ways: tuple[Direction, Direction]
) -> tuple[Tensor, Tensor]:
    """Of both directions, from their (dt, B, C) (2,B,L,R+2S)."""
    states = ways[0].A_log.shape[1]
    dt, b, c = projected.split((ways[0].dt_proj.shape[1], states, states), dim=-1)
    if name != "delta":
        ahead, back = {"b": b, "c": c}[name]
    else:
        ahead, back = (F.linear(low, w.dt_proj.to(low)) for low, w in zip(dt, ways, strict=True))
    return ahead, back


def _check(xz: Tensor, ahead: Direction, back: Direction) -> None:
    channels, states = ahead.A_log.shape
    rank = ahead.dt_proj.shape[1]
    if xz.dim() != 3 or xz.shape[2] != 2 * channels:
        given = f"xz {tuple(xz.shape)}"
        reason = f"xz must be (B, L, {2 * channels}): input and gate of {channels} channels each"
        raise ShapeError("bidirectional_mamba", given, reason)
    vector, projected = (channels,), (rank + 2 * states, channels)
    tail = (vector, projected, (channels, rank), vector, (channels, states), vector)
    for way in (ahead, back):
        if way.conv_weight.shape[0] != channels or tuple(p.shape for p in way[1:]) != tail:
            given = ", ".join(f"{n} {tuple(p.shape)}" for n, p in way._asdict().items())
            reason = f"both directions need {channels} channels, {states} states and rank {rank}"
            raise ShapeError("bidirectional_mamba", given, reason)
