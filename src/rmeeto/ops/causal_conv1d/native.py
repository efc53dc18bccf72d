"""Binding to the compiled causal convolution (csrc/conv.h)."""

import torch
from torch import Tensor

from .. import dispatch


def obstacle(x: Tensor, weight: Tensor) -> str | None:
    """Why the kernel can't take these inputs, or None."""
    if x.device.type not in ("cpu", "meta"):
        return f"the kernel runs on the CPU, the tensors are on {x.device.type}"
    if x.dtype not in (torch.float32, torch.bfloat16):
        return f"the kernel takes float32 and bfloat16, not {x.dtype}"
    if not 2 <= weight.shape[1] <= 4:
        return f"the kernel takes 2 to 4 taps, not {weight.shape[1]}"
    return None


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool) -> Tensor:
    """Return the convolution as a transposed view of contiguous (B,L,D) rows."""
    rows = _rows(x)
    weight, bias = _float(weight), None if bias is None else _float(bias)
    out = torch.empty(rows.shape, dtype=x.dtype)
    batch, length, channels = rows.shape
    dispatch.native().conv_forward(
        rows.data_ptr(),
        weight.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        out.data_ptr(),
        batch,
        length,
        channels,
        weight.shape[1],
        rows.stride(0),
        rows.stride(1),
        out.stride(0),
        out.stride(1),
        silu,
        reverse,
        rows.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return out.transpose(1, 2)


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias."""
    grad, rows, taps = _rows(grad), _rows(x), _float(weight)
    bias = None if bias is None else _float(bias)
    grad_rows = torch.empty(rows.shape, dtype=x.dtype)
    grad_weight, grad_bias = torch.empty_like(taps), torch.empty(taps.shape[0])
    batch, length, channels = rows.shape
    dispatch.native().conv_backward(
        grad.data_ptr(),
        rows.data_ptr(),
        taps.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        grad_rows.data_ptr(),
        grad_weight.data_ptr(),
        grad_bias.data_ptr(),
        batch,
        length,
        channels,
        taps.shape[1],
        rows.stride(0),
        rows.stride(1),
        grad_rows.stride(0),
        grad_rows.stride(1),
        grad.stride(0),
        grad.stride(1),
        silu,
        reverse,
        rows.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    kind = weight.dtype
    return grad_rows.transpose(1, 2), grad_weight.to(kind), grad_bias.to(kind)


def _rows(x: Tensor) -> Tensor:
    """(B,L,D) rows whose channels lie side by side, without a copy if they do already."""
    rows = x.transpose(1, 2)
    return rows if rows.stride(2) == 1 or rows.shape[2] == 1 else rows.contiguous()


def _float(x: Tensor) -> Tensor:
    return x.to(torch.float32).contiguous()
