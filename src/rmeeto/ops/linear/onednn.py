"""Products by oneDNN, which comes with torch but which torch's own linear layer does not ask for fp32.

torch takes MKL there, and MKL runs its widest kernels on Intel's processors only: on a Zen 5 it reaches less
than half of what AVX-512 can do (benchmarks, group "op/linear").
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WORTH = 1 << 21
"""Multiply-adds from which the call through Python is paid back."""


def obstacle(x: Tensor, weight: Tensor) -> str | None:
    """Why torch's own product runs, or None."""
    if missing():
        return missing()
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return "it is for float32 on the CPU"
    if torch.is_autocast_enabled("cpu"):
        return "autocast chooses another type"
    if type(weight) not in (Tensor, nn.Parameter):
        return "a tensor of another kind knows its own product"
    return None if x.numel() * weight.shape[0] >= WORTH else "it is too small"


@cache
def missing() -> str:
    """Why oneDNN is of no use on this machine, or the empty string."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return "this torch comes without oneDNN's products"
    if not torch.backends.mkl.is_available():
        return "this torch's own products are not MKL's"
    maker = _processor("vendor_id") or platform.processor()
    return "MKL is as fast on an Intel processor" if "Intel" in maker else ""


@cache
def full_width() -> bool:
    """Whether 512 bits are computed at once (AMD: from family 26, Zen 5, on), of which MKL uses half there."""
    family = _processor("cpu family")
    return family.isdigit() and int(family) >= 26


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x · weightᵀ + bias, (…, I) times (O, I), any strides."""
    if x.numel() == 0:  # also a sum over no rows, which oneDNN refuses
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ · b of (T, M) and (T, N), by the library that is faster at it here.

    oneDNN has its first factor rearranged in memory beforehand, slowly and on one thread: that is to be the
    narrower one. MKL reads it as it is.
    """
    if not full_width():
        return a.t() @ b
    if a.shape[1] <= b.shape[1]:
        return torch.ops.rmeeto.linear(a.t(), b.t(), None)
    return torch.ops.rmeeto.linear(b.t(), a.t(), None).t()


def _processor(field: str) -> str:
    """What Linux says of the processor: its vendor_id (GenuineIntel, AuthenticAMD, …), its cpu family."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
