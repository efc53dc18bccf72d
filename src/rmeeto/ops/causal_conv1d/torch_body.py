"""Causal depthwise convolution in plain torch: shifted products over channels-last rows."""

import torch
import torch.nn.functional as F
from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool) -> Tensor:
    """Return the convolution as a transposed view of contiguous (B,L,D) rows."""
    out = _pre_activation(_pad(x, weight, reverse), weight, bias, reverse)
    out = F.silu(out) if silu else out
    return out.to(x.dtype).transpose(1, 2)


def backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias; the activation is computed again."""
    padded = _pad(x, weight, reverse)
    grad_rows = grad.transpose(1, 2).to(padded.dtype)
    if silu:
        pre = _pre_activation(padded, weight, bias, reverse)
        gate = torch.sigmoid(pre)
        grad_rows = grad_rows * gate * (1 + pre * (1 - gate))
    length, taps = x.shape[2], weight.shape[1]
    grad_x = torch.zeros_like(padded)
    grad_weight = torch.empty(weight.shape, dtype=padded.dtype, device=x.device)
    for k in range(taps):
        start = taps - 1 - k if reverse else k
        window = slice(start, start + length)
        grad_x[:, window] += grad_rows * weight[:, k]
        grad_weight[:, k] = (grad_rows * padded[:, window]).sum((0, 1))
    inside = slice(0, length) if reverse else slice(taps - 1, None)
    grad_x = grad_x[:, inside].to(x.dtype).contiguous().transpose(1, 2)
    return grad_x, grad_weight.to(weight.dtype), grad_rows.sum((0, 1)).to(weight.dtype)


def _pad(x: Tensor, weight: Tensor, reverse: bool) -> Tensor:
    rows = x.transpose(1, 2).to(torch.promote_types(x.dtype, torch.float32))
    before_after = (0, weight.shape[1] - 1) if reverse else (weight.shape[1] - 1, 0)
    return F.pad(rows, (0, 0, *before_after))


def _pre_activation(padded: Tensor, weight: Tensor, bias: Tensor | None, reverse: bool) -> Tensor:
    taps = weight.shape[1]
    length = padded.shape[1] - taps + 1
    weight = weight.to(padded.dtype)
    out = torch.zeros_like(padded[:, :length]) if bias is None else bias.to(padded.dtype)
    for k in range(taps):
        start = taps - 1 - k if reverse else k
        out = torch.addcmul(out, padded[:, start : start + length], weight[:, k])
    return out
