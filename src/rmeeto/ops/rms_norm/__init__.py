"""Root-mean-square norm, alone or fused with the residual addition before it."""

import torch
from torch import Tensor

from ...errors import ShapeError
from .. import dispatch
from . import body, native, op, reference  # noqa: F401  (op registers torch.ops.rmeeto.…)


def add_rms_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor,
    eps: float = 1e-5,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Add a block's output to the residual stream and norm the sum.

    ``h = residual + x`` in fp32, ``normed = h / √(mean(h²) + eps) · weight``.

    Args:
        x: (..., C) fp32 or bf16, the last block's output.
        residual: (..., C) fp32 stream so far, or None at the first block.
        weight: (C,) scale.
        eps: added to the mean square.
        dtype: type of the normed rows; None means x's.

    Returns:
        The normed rows in ``dtype`` and the new stream ``h`` in fp32.

    Raises:
        ShapeError: if the shapes do not fit together.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization (arXiv 1910.07467), eq. 4;
    differs in: eps inside the root, as in Mamba.
    """
    _check(x, residual, weight)
    dtype = dtype or x.dtype
    if residual is None:
        stream = x.to(torch.promote_types(x.dtype, torch.float32))
        return rms_norm(stream, weight, eps, dtype), stream
    backend = dispatch.choose("rms_norm", native.obstacle(x, residual, dtype))
    if backend == "native":
        return torch.ops.rmeeto.add_rms_norm(x, residual, weight, eps, dtype)
    return (body if backend == "torch" else reference).add_norm(x, residual, weight, eps, dtype)


def rms_norm(
    x: Tensor, weight: Tensor, eps: float = 1e-5, dtype: torch.dtype | None = None
) -> Tensor:
    """Norm each row: ``x / √(mean(x²) + eps) · weight``, computed in fp32.

    Args:
        x: (..., C) fp32 or bf16.
        weight: (C,) scale.
        eps: added to the mean square.
        dtype: type of the result; None means x's.

    Returns:
        (..., C) in ``dtype``.

    Raises:
        ShapeError: if the shapes do not fit together.

    Source: as :func:`add_rms_norm`.
    """
    _check(x, None, weight)
    dtype = dtype or x.dtype
    backend = dispatch.choose("rms_norm", native.obstacle(x, None, dtype))
    if backend == "native":
        return torch.ops.rmeeto.rms_norm(x, weight, eps, dtype)
    return (body if backend == "torch" else reference).norm(x, weight, eps, dtype)


def _check(x: Tensor, residual: Tensor | None, weight: Tensor) -> None:
    given = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}"
    if x.dim() == 0 or weight.shape != x.shape[-1:]:
        raise ShapeError("rms_norm", given, "weight must be (C,) for x of (..., C)")
    if residual is not None and residual.shape != x.shape:
        given += f", residual {tuple(residual.shape)}"
        raise ShapeError("add_rms_norm", given, "residual must have x's shape; expand it first")
