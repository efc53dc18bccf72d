"""Definition of the (residual add and) root-mean-square norm, in any float type."""

import torch
from torch import Tensor


def forward(
    x: Tensor, residual: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``h = residual + x``; ``h / √(mean(h²) + eps) · weight``; see the public function."""
    stream = torch.promote_types(x.dtype, torch.float32)
    summed = x.to(stream) if residual is None else residual.to(stream) + x.to(stream)
    scale = torch.rsqrt(summed.square().mean(-1, keepdim=True) + eps)
    return (summed * scale * weight.to(stream)).to(dtype), summed
