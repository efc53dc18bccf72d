"""How the kernels of the scan, on any device, lay out what they read and write."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """The same (B,D,L) tensor with stride 1 over D, copied if need be."""
    if x.stride(1) == 1 or x.shape[1] == 1:
        return x
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def plain(u, delta, A, B, C, D, z, delta_bias):
    """Inputs laid out as the kernels read them."""
    B, C = (m.contiguous() if m.ndim == 2 else m for m in (B, C))
    D = None if D is None else D.contiguous()
    delta_bias = None if delta_bias is None else delta_bias.contiguous()
    z = None if z is None else channels_last(z)
    return channels_last(u), channels_last(delta), A.contiguous(), B, C, D, z, delta_bias


def empty_rows(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """(B,D,L) as a transposed view of a contiguous (B,L,D)."""
    b, d, n = like.shape
    return like.new_empty(b, n, d, dtype=dtype).transpose(1, 2)


def _empty_states(like: Tensor) -> Tensor:
    """Gradient of B or C, stored with the states side by side."""
    if like.ndim == 2:
        return torch.empty_like(like, memory_format=torch.contiguous_format)
    if like.ndim == 3:
        b, s, n = like.shape
        return like.new_empty(b, n, s).transpose(1, 2)
    b, g, s, n = like.shape
    return like.new_empty(b, n, g, s).permute(0, 2, 3, 1)


def _empty_vector(like: Tensor | None, fallback: Tensor) -> Tensor:
    return fallback.new_empty(0) if like is None else like.new_empty(like.shape)


def empty_results(u: Tensor, A: Tensor, return_last_state: bool) -> tuple[Tensor, Tensor]:
    """Memory for the output and, if wanted, the last state."""
    state = (u.shape[0], *A.shape) if return_last_state else (0,)
    return empty_rows(u), A.new_empty(state)


def empty_grads(u, delta, A, B, C, D, z, delta_bias):
    """Memory for the gradients, in the order of the inputs; without elements for an absent one."""
    dz = u.new_empty(0) if z is None else empty_rows(z)
    return (
        empty_rows(u),
        empty_rows(delta),
        A.new_empty(A.shape),
        _empty_states(B),
        _empty_states(C),
        _empty_vector(D, A),
        dz,
        _empty_vector(delta_bias, A),
    )
