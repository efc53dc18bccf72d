"""Definition of the causal depthwise convolution: one shifted product a tap, in any float type."""

import torch
from torch import Tensor


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """``out[b,d,l] = bias[d] + Σ_k weight[d,k] · x[b,d,l-K+1+k]``; see the public function."""
    wide = torch.promote_types(x.dtype, torch.float32)
    taps, length = weight.shape[1], x.shape[2]
    steps = (x.flip(2) if reverse else x).to(wide)
    past = torch.cat([steps.new_zeros(*x.shape[:2], taps - 1), steps], 2)
    out = steps.new_zeros(x.shape) if bias is None else bias.to(wide)[:, None]
    for k in range(taps):
        out = out + weight[:, k, None].to(wide) * past[..., k : k + length]
    out = out * torch.sigmoid(out) if silu else out
    return (out.flip(2) if reverse else out).to(x.dtype)
