"""The selective scan in plain torch: runs and differentiates on any device and dtype, but slowly."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def selective_scan_torch(
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
    """Scan over steps that were unbound once; arguments and results as in `selective_scan_reference`.

    Indexing a step out of the whole tensor would make autograd add a full-size zero tensor for each of
    the L steps; ``unbind`` has one backward for all of them.
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    batch, channels, length = u.shape
    groups = max(m.shape[1] if m.ndim == 4 else 1 for m in (B, C))
    x, dt = u.to(dtype), delta.to(dtype)
    if delta_bias is not None:
        dt = dt + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        dt = F.softplus(dt)
    shape = (batch, groups, channels // groups, 1)
    A = A.to(dtype).view(groups, channels // groups, -1)
    steps = zip(
        (d.view(shape) for d in dt.unbind(-1)),
        (s.view(shape) for s in (dt * x).unbind(-1)),
        _steps(B.to(dtype), groups, length),
        _steps(C.to(dtype), groups, length),
        strict=True,
    )
    h = x.new_zeros(batch, groups, channels // groups, A.shape[-1])
    ys = []
    for dt_t, dtx_t, B_t, C_t in reversed(list(steps)) if reverse else steps:
        h = torch.exp(dt_t * A) * h + dtx_t * B_t
        ys.append((h * C_t).sum(-1).flatten(1))
    if reverse:
        ys.reverse()
    y = torch.stack(ys, 1).transpose(1, 2) if ys else torch.zeros_like(x)
    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y.to(u.dtype), h.flatten(1, 2)


def _steps(m: Tensor, groups: int, length: int) -> list[Tensor]:
    """B or C as one tensor a step that broadcasts against (B, G, D/G, S)."""
    if m.ndim == 2:
        return [m.view(groups, -1, m.shape[-1])] * length
    if m.ndim == 3:
        m = m[:, None]
    return list(m[:, :, None].unbind(-1))
