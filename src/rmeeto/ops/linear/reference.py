"""The linear layer by its definition."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = Σ_i x_i W_oi + b_o over the last axis."""
    products = torch.einsum("...i,oi->...o", x, weight)
    return products if bias is None else products + bias
