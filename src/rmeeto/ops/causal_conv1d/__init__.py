"""Causal depthwise convolution over tokens, with an optional SiLU."""

import torch
from torch import Tensor

from ...errors import ConfigError, ShapeError
from .. import dispatch
from . import body, native, op, reference  # noqa: F401  (op registers torch.ops.rmeeto.…)


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool = False,
) -> Tensor:
    """Convolve each channel along the tokens, seeing only the current token and those before it.

    ``out[b,d,l] = act(bias[d] + Σ_k weight[d,k] · x[b,d,l-K+1+k])``, zeros left of the sequence.
    Accumulated in fp32.

    Args:
        x: (B, D, L) fp32 or bf16; fastest as a transposed view of (B, L, D) rows.
        weight: (D, K) or (D, 1, K), K in 1..8; the last tap multiplies the current token.
        bias: (D,), of the weight's type.
        activation: None or ``"silu"``.
        reverse: scan from the last token to the first (flip, convolve, flip); the last tap still
            multiplies the current token.

    Returns:
        (B, D, L) in x's type, a transposed view of contiguous (B, L, D) rows.

    Raises:
        ShapeError: if the shapes do not fit together.
        ConfigError: if the activation is unknown.

    Source: Gu and Dao, Mamba (arXiv 2312.00752), section 3.4, as ``causal_conv1d_fn`` there;
    differs in: ``reverse``.
    """
    weight = weight.squeeze(1) if weight.dim() == 3 else weight
    _check(x, weight, bias, activation)
    args = (x, weight, bias, activation == "silu", reverse)
    backend = dispatch.choose("causal_conv1d", native.obstacle(x, weight))
    if backend == "native":
        return torch.ops.rmeeto.causal_conv1d(*args)
    return (body if backend == "torch" else reference).causal_conv1d(*args)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
    if activation not in (None, "silu"):
        reason = "the convolution fuses 'silu' or nothing; apply others to its output"
        raise ConfigError("causal_conv1d", f"activation={activation!r}", reason)
    if x.dim() != 3 or weight.dim() != 2 or weight.shape[0] != x.shape[1]:
        given = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}"
        reason = "x must be (B, D, L) and weight (D, K); transpose (B, L, D) rows first"
        raise ShapeError("causal_conv1d", given, reason)
    if not 1 <= weight.shape[1] <= 8:
        reason = "K must be from 1 to 8"
        raise ShapeError("causal_conv1d", f"{weight.shape[1]} taps", reason)
    if bias is not None and bias.shape != weight.shape[:1]:
        reason = f"bias must be ({weight.shape[0]},), one value a channel"
        raise ShapeError("causal_conv1d", f"bias {tuple(bias.shape)}", reason)
