"""Causal depthwise convolution in plain torch: any device and float type, fit to be traced."""

import torch
from torch import Tensor
from torch.nn import functional


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """Return the convolution as a transposed view of contiguous (B,L,D) rows."""
    channels, taps = weight.shape
    wide = torch.promote_types(x.dtype, torch.float32)
    weight = (weight.flip(1) if reverse else weight).to(wide)[:, None]
    bias = None if bias is None else bias.to(wide)
    # Zeros on both sides: the scan's own L results are the first ones, or in reverse the last.
    full = functional.conv1d(x.to(wide), weight, bias, padding=taps - 1, groups=channels)
    out = full[..., taps - 1 :] if reverse else full[..., : x.shape[2]]
    out = functional.silu(out) if silu else out
    return out.to(x.dtype).transpose(1, 2).contiguous().transpose(1, 2)
