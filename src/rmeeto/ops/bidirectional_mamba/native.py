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
    rows, ways = _rows(xz), [[_float(p) for p in way] for way in (ahead, back)]
    dispatch.native().mixer_forward(
        *_inputs(rows, ways),
        out.data_ptr(),
        projected.data_ptr() if keep else 0,
        torch.get_num_threads(),
    )
    return out, projected


def backward(
    grad: Tensor, xz: Tensor, projected: Tensor, ahead: list[Tensor], back: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """CPU body of ``rmeeto::bidirectional_mamba_backward``."""
    grad, rows, ways = _rows(grad), _rows(xz), [[_float(p) for p in way] for way in (ahead, back)]
    grad_xz = rows.new_empty(rows.shape)
    fresh = torch.zeros if grad.numel() == 0 else torch.empty
    grads = [[fresh(p.shape, dtype=torch.float32) for p in way] for way in ways]
    if grad.numel():
        dispatch.native().mixer_backward(
            *_inputs(rows, ways),
            projected.data_ptr(),
            grad.data_ptr(),
            grad.stride(0),
            grad.stride(1),
            grad_xz.data_ptr(),
            *(_addresses(way) for way in grads),
            torch.get_num_threads(),
        )
    first, second = (_like(*pair) for pair in zip(grads, (ahead, back), strict=True))
    return grad_xz, first, second


def _inputs(rows: Tensor, ways: list[list[Tensor]]) -> tuple:
    """Sizes, input and parameters as the kernels take them."""
    taps, _, _, dt_proj, _, A_log, _ = ways[0]
    (channels, states), rank = A_log.shape, dt_proj.shape[1]
    sizes = rows.shape[0], rows.shape[1], channels, states, rank, taps.shape[-1]
    half = rows.dtype == torch.bfloat16
    strides = rows.stride(0), rows.stride(1)
    return sizes, rows.data_ptr(), *strides, half, *(_addresses(way) for way in ways)


def _addresses(way: list[Tensor]) -> tuple[int, ...]:
    return tuple(p.data_ptr() for p in way)


def _like(grads: list[Tensor], parameters: list[Tensor]) -> list[Tensor]:
    """Gradients in the types of their parameters."""
    return [g.to(p.dtype) for g, p in zip(grads, parameters, strict=True)]


def _float(parameter: Tensor) -> Tensor:
    """As the kernels read parameters; mostly they are that already."""
    ready = parameter.dtype is torch.float32 and parameter.is_contiguous()
    return parameter if ready else parameter.float().contiguous()


def _rows(x: Tensor) -> Tensor:
    """Rows whose channels lie side by side, without a copy if they do already."""
    return x if x.stride(2) == 1 else x.contiguous()
