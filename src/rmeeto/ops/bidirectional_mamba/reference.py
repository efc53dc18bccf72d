"""Definition of the two-way mixing: the published composition of convolution, projections and scans."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..causal_conv1d import causal_conv1d
from ..selective_scan import selective_scan


class Direction(NamedTuple):
    """The parameters of one scan direction: D channels, K taps, rank R, S states.

    Args:
        conv_weight: (D,1,K) or (D,K).
        conv_bias: (D,).
        x_proj: (R+2S,D), from the convolved input to (dt, B, C).
        dt_proj: (D,R), from dt up to the step sizes.
        dt_bias: (D,), added before the softplus.
        A_log: (D,S), logarithm of the decay rates.
        D: (D,), skip weight.
    """

    conv_weight: Tensor
    conv_bias: Tensor
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A_log: Tensor
    D: Tensor


def scan_both(
    xz: Tensor, ahead: Direction, back: Direction
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Mixed tokens (B,L,D), and "b" and "c" (B,L,S) and "delta" (B,L,D; raw) of both directions."""
    x, z = xz.transpose(1, 2).chunk(2, dim=1)
    first, *features = _scan(x, z, ahead, reverse=False)
    second, *others = _scan(x, z, back, reverse=True)
    pairs = zip(features, others, strict=True)
    mixed = (first + second).transpose(1, 2)
    return mixed, dict(zip(("b", "c", "delta"), pairs, strict=True))


def _scan(
    x: Tensor, z: Tensor, way: Direction, reverse: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u = causal_conv1d(x, way.conv_weight, way.conv_bias, "silu", reverse)
    states = way.A_log.shape[1]
    parts = F.linear(u.transpose(1, 2), way.x_proj).split(
        (way.dt_proj.shape[1], states, states), dim=-1
    )
    low_rank, b, c = parts
    delta = F.linear(low_rank, way.dt_proj)
    y = selective_scan(
        u, delta.transpose(1, 2), -torch.exp(_wide(way.A_log)),
        b.transpose(1, 2), c.transpose(1, 2), _wide(way.D), z=z,
        delta_bias=_wide(way.dt_bias), delta_softplus=True, reverse=reverse,
    )  # fmt: skip
    return cast(Tensor, y), b, c, delta


def _wide(parameter: Tensor) -> Tensor:
    """At least fp32: the scan's own parameters are never rounded to half precision."""
    return parameter.to(torch.promote_types(parameter.dtype, torch.float32))
