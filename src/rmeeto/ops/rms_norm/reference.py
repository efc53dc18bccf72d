"""Definition of the (residual add and) root-mean-square norm, in any float type."""

import torch
from torch import Tensor


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """``x / √(mean(x²) + eps) · weight``; see the public function."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = (wide * wide).sum(-1, keepdim=True) / x.shape[-1]
    return (wide / (mean_square + eps).sqrt() * weight.to(wide.dtype)).to(dtype)


def add_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``h = residual + x`` in fp32, and the norm of it."""
    wide = torch.promote_types(x.dtype, torch.float32)
    stream = residual.to(wide) + x.to(wide)
    return norm(stream, weight, eps, dtype), stream
