"""Residual add and root-mean-square norm in plain torch, statistics in fp32."""

import torch
from torch import Tensor


def forward(
    x: Tensor, residual: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the normed rows and the new residual stream."""
    stream = torch.promote_types(x.dtype, torch.float32)
    summed = (x.to(stream) if residual is None else residual.to(stream) + x).contiguous()
    normed = summed * _scale(summed, eps) * weight.to(stream)
    return normed.to(dtype), summed


def backward(
    grad_normed: Tensor, grad_summed: Tensor | None, summed: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the stream (shared by x and residual) and of the weight."""
    scale = _scale(summed, eps)
    unit = summed * scale
    grad = grad_normed.to(summed.dtype)
    grad_weight = (grad * unit).reshape(-1, summed.shape[-1]).sum(0)
    grad = grad * weight.to(summed.dtype)
    grad = scale * (grad - unit * (grad * unit).mean(-1, keepdim=True))
    grad = grad if grad_summed is None else grad + grad_summed
    return grad, grad_weight.to(weight.dtype)


def _scale(summed: Tensor, eps: float) -> Tensor:
    return torch.rsqrt(summed.square().mean(-1, keepdim=True) + eps)
