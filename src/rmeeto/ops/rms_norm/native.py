"""Binding to the compiled root-mean-square norm (csrc/norm.h)."""

import torch
from torch import Tensor

from .. import dispatch

_TYPES = (torch.float32, torch.bfloat16)


def obstacle(x: Tensor, residual: Tensor | None, dtype: torch.dtype) -> str | None:
    """Why the kernel can't take these inputs, or None."""
    if x.device.type not in ("cpu", "meta"):
        return f"the kernel runs on the CPU, the tensors are on {x.device.type}"
    if x.dtype not in _TYPES or dtype not in _TYPES:
        return f"the kernel takes and gives float32 and bfloat16, not {x.dtype} and {dtype}"
    if residual is not None and residual.dtype != torch.float32:
        return f"the kernel takes a float32 residual, not {residual.dtype}"
    return None


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return the normed rows."""
    out = torch.empty(x.shape, dtype=dtype)
    _run(x, None, weight, eps, out, None)
    return out


def add_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the normed rows and the new residual stream."""
    out, stream = torch.empty(x.shape, dtype=dtype), torch.empty(x.shape)
    _run(x, residual, weight, eps, out, stream)
    return out, stream


def _run(x, residual, weight, eps, out, stream) -> None:
    rows, weight = _rows(x), weight.to(torch.float32).contiguous()
    residual_rows = rows if residual is None else _rows(residual)
    dispatch.native().norm_forward(
        rows.data_ptr(),
        0 if residual is None else residual_rows.data_ptr(),
        weight.data_ptr(),
        out.data_ptr(),
        0 if stream is None else stream.data_ptr(),
        rows.shape[0],
        rows.shape[1],
        rows.stride(0),
        residual_rows.stride(0),
        eps,
        x.dtype == torch.bfloat16,
        out.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )


def backward(
    grad: Tensor, grad_stream: Tensor | None, stream: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the stream and of the weight."""
    grad, stream = grad.contiguous(), stream.contiguous()
    above = None if grad_stream is None else grad_stream.contiguous()
    scale = weight.to(torch.float32).contiguous()
    out, grad_weight = torch.empty_like(stream), torch.empty_like(scale)
    width = scale.shape[0]
    dispatch.native().norm_backward(
        grad.data_ptr(),
        0 if above is None else above.data_ptr(),
        stream.data_ptr(),
        scale.data_ptr(),
        out.data_ptr(),
        grad_weight.data_ptr(),
        stream.numel() // max(width, 1),
        width,
        eps,
        grad.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return out, grad_weight.to(weight.dtype)


def _rows(x: Tensor) -> Tensor:
    """(rows, C) with side-by-side channels, without a copy where strides allow."""
    rows = x.reshape(x.shape[:-1].numel(), x.shape[-1])
    return rows if rows.stride(1) == 1 or rows.shape[1] == 1 else rows.contiguous()
