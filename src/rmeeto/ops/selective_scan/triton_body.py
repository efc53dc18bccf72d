"""The scan in Triton, as the dispatcher sees it; Triton itself is imported by the first call."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dispatch

TYPES = frozenset((torch.float32, torch.bfloat16, torch.float16))
"""What activations may be; weights are float32."""


def obstacle(*inputs: Tensor | None) -> str | None:
    """Why the kernel can't take these tensors, as one clause, or None."""
    for x in inputs:
        if x is None:
            continue
        if x.dtype is torch.float64:
            return "the kernel computes in float32 and an input is float64"
        if not (x.is_cuda or (dispatch.TRITON_ON_CPU and (x.is_cpu or x.is_meta))):
            return f"the Triton kernel runs on CUDA devices and an input is on {x.device}"
    return None


def forward(*arguments) -> tuple[Tensor, Tensor]:
    """CUDA body of ``rmeeto::selective_scan``."""
    from . import triton_launch

    return triton_launch.forward(*arguments)


def backward(*arguments) -> tuple[Tensor, ...]:
    """CUDA body of ``rmeeto::selective_scan_backward``."""
    from . import triton_launch

    return triton_launch.backward(*arguments)
