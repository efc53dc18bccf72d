"""Definition of the causal depthwise convolution: one shifted product a tap, in any float type."""

import torch.nn.functional as F
from torch import Tensor


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """``out[b,d,l] = bias[d] + Σ_k weight[d,k] · x[b,d,l-K+1+k]``; see the public function."""
    taps, length = weight.shape[1], x.shape[2]
    x = x.flip(2) if reverse else x
    padded = F.pad(x, (taps - 1, 0))
    out = sum(padded[..., k : k + length] * weight[:, k, None] for k in range(taps))
    out = out if bias is None else out + bias[:, None]
    out = F.silu(out) if silu else out
    return out.flip(2) if reverse else out
