"""The definition of the selective scan: one step after the other, in any floating dtype."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scan step by step; arguments as in `selective_scan`, computed in float32 or, if u is, in float64.

    Returns:
        out (B,D,L) in u's dtype and the state after the last step (B,D,S).
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    batch, channels, length = u.shape
    x, A = u.to(dtype), A.to(dtype)
    dt = delta.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    B, C = (per_channel(m.to(dtype), batch, channels, length) for m in (B, C))
    h = x.new_zeros(batch, channels, A.shape[1])
    ys: dict[int, Tensor] = {}
    for t in reversed(range(length)) if reverse else range(length):
        decay = torch.exp(dt[:, :, t, None] * A)
        h = decay * h + (dt[:, :, t] * x[:, :, t])[..., None] * B[..., t]
        ys[t] = (h * C[..., t]).sum(-1)
    y = torch.stack([ys[t] for t in range(length)], -1) if length else torch.zeros_like(x)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y.to(u.dtype), h


def per_channel(m: Tensor, batch: int, channels: int, length: int) -> Tensor:
    """B or C in any of its forms → (B,D,S,L)."""
    if m.ndim == 2:
        return m[None, :, :, None].expand(batch, -1, -1, length)
    if m.ndim == 3:
        m = m[:, None]
    return m.repeat_interleave(channels // m.shape[1], 1)
