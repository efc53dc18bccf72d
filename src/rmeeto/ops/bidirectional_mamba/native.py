"""The fused mixing on CPU tensors: one call of a kernel that takes whole images through all steps."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dispatch
from ..causal_conv1d import native as conv
from ..selective_scan import native as scan


def obstacle(xz: Tensor, ahead, back) -> str | None:
    """Why the fused op can't take these inputs, as one clause, or None."""
    weights = (*ahead, *back)
    if any(p.dtype not in scan.TYPES for p in weights):
        return "the kernel takes float32 and bfloat16 parameters"
    taps = (conv.obstacle(xz, way[0].flatten(1)) for way in (ahead, back))
    return next(filter(None, taps), None) or scan.obstacle(xz, *weights)


def empty_results(xz: Tensor, ahead: list[Tensor], keep: bool) -> tuple[Tensor, Tensor]:
    """Memory for the output (B,L,D) and, if kept, (dt, B, C) of both directions."""
    batch, length, width = xz.shape
    projected = (2, batch, length, ahead[2].shape[0]) if keep else (0,)
    return xz.new_empty(batch, length, width // 2), xz.new_empty(projected)


def forward(
    xz: Tensor, ahead: list[Tensor], back: list[Tensor], keep: bool
) -> tuple[Tensor, Tensor]:
    """CPU body of ``rmeeto::bidirectional_mamba``."""
    out, projected = empty_results(xz, ahead, keep)
    if out.numel() == 0:
        return out, projected
    xz, ways = rows(xz), [[_float(p) for p in way] for way in (ahead, back)]
    dispatch.native().mixer_forward(
        *_inputs(xz, ways),
        out.data_ptr(),
        projected.data_ptr() if keep else 0,
        torch.get_num_threads(),
    )
    return out, projected


def backward(
    grad: Tensor, xz: Tensor, projected: Tensor, ahead: list[Tensor], back: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """CPU body of ``rmeeto::bidirectional_mamba_backward``."""
    grad, xz, ways = rows(grad), rows(xz), [[_float(p) for p in way] for way in (ahead, back)]
    grad_xz = xz.new_empty(xz.shape)
    fresh = torch.zeros if grad.numel() == 0 else torch.empty
    grads = [[fresh(p.shape, dtype=torch.float32) for p in way] for way in ways]
    if grad.numel():
        dispatch.native().mixer_backward(
            *_inputs(xz, ways),
            projected.data_ptr(),
            grad.data_ptr(),
            grad.stride(0),
            grad.stride(1),
            grad_xz.data_ptr(),
            *(addresses(way) for way in grads),
            torch.get_num_threads(),
        )
    first, second = (_like(*pair) for pair in zip(grads, (ahead, back), strict=True))
    return grad_xz, first, second


def _inputs(xz: Tensor, ways: list[list[Tensor]]) -> tuple:
    """Sizes, input and parameters as the kernels take them."""
    half = xz.dtype == torch.bfloat16
    strides = xz.stride(0), xz.stride(1)
    return sizes(xz, ways[0]), xz.data_ptr(), *strides, half, *(addresses(way) for way in ways)


def sizes(x: Tensor, way: list[Tensor]) -> tuple[int, ...]:
    """Batch, length, channels, states, rank and taps."""
    (channels, states), rank = way[5].shape, way[3].shape[1]
    return x.shape[0], x.shape[1], channels, states, rank, way[0].shape[-1]


def addresses(way: list[Tensor]) -> tuple[int, ...]:
    """Of the parameters of a direction."""
    return tuple(p.data_ptr() for p in way)


def _like(grads: list[Tensor], parameters: list[Tensor]) -> list[Tensor]:
    """Gradients in the types of their parameters."""
    return [g.to(p.dtype) for g, p in zip(grads, parameters, strict=True)]


def _float(parameter: Tensor) -> Tensor:
    """As the kernels read parameters; mostly they are that already."""
    ready = parameter.dtype is torch.float32 and parameter.is_contiguous()
    return parameter if ready else parameter.float().contiguous()


def rows(x: Tensor) -> Tensor:
    """Rows whose channels lie side by side, without a copy if they do already."""
    return x if x.stride(2) == 1 else x.contiguous()
