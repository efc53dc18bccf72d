"""The linear layer, by the faster of two libraries."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import dispatch
from . import onednn, op, reference  # noqa: F401  (op registers torch.ops.rmeeto.…)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x · weightᵀ + bias`` over the last axis, as `torch.nn.functional.linear`.

    In fp32 on processors that are not Intel's, larger products are oneDNN's, which is faster there (twice on a Zen 5)
    as torch's own choice; everything else, and every traced, compiled or exported graph, is torch's.

    Args:
        x: (…, I) any float type, on any device.
        weight: (O, I).
        bias: (O,) or None.

    Returns:
        (…, O).
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return F.linear(x, weight, bias)
    backend = dispatch.requested()
    if backend == "reference":
        return reference.linear(x, weight, bias)
    if backend == "torch" or onednn.obstacle(x, weight):
        return F.linear(x, weight, bias)
    return torch.ops.rmeeto.linear(x, weight, bias)
