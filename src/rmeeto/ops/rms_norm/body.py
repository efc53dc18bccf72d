"""Residual add and root-mean-square norm in plain torch, statistics in fp32."""

import torch
from torch import Tensor


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return the normed rows."""
    stream = x.to(torch.promote_types(x.dtype, torch.float32))
    scale = torch.rsqrt(stream.square().mean(-1, keepdim=True) + eps)
    return (stream * scale * weight.to(stream.dtype)).to(dtype)


def add_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the normed rows and the new residual stream."""
    stream = residual.to(torch.promote_types(x.dtype, torch.float32)) + x
    return norm(stream, weight, eps, dtype), stream
