"""Initial weights, drawn from one explicit generator in a fixed order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..ops.bidirectional_mamba import Direction
from .mixers import BidirectionalMamba

if TYPE_CHECKING:
    from .base import Backbone
    from .vim import VimConfig

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4


def drop_path_rates(largest: float, depth: int) -> list[float]:
    """Rates from 0 at the first block to ``largest`` at the last, in equal steps.

    Upstream adds a block's update at the entry of the next one and so lists these rates shifted
    by one, with ``largest`` again for the final addition; here the update is added at once.
    """
    return [largest * i / (depth - 1) if depth > 1 else largest for i in range(depth)]


def init_head_and_embedding(model: Backbone, generator: torch.Generator) -> None:
    """Patch kernel N(0, 1/fan_in) cut at two deviations, everything else N(0, 0.02²), biases 0."""
    projection = model.patch_embed.proj
    _lecun_(projection.weight, generator)
    nn.init.zeros_(projection.get_parameter("bias"))
    for tensor in (model.cls_token, model.pos_embed):
        nn.init.trunc_normal_(tensor, std=0.02, generator=generator)
    if isinstance(model.head, nn.Linear):
        nn.init.trunc_normal_(model.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(model.head.bias)


def init_mamba(mixer: BidirectionalMamba, settings: VimConfig, generator: torch.Generator) -> None:
    """Set a scan mixer as its family's code does ("upstream"), or both directions alike.

    "upstream" Vim draws the step sizes Δ log-uniformly from 0.001 to 0.1 in the forward direction
    and leaves the backward bias at 0 (Δ near 0.7); "upstream" VideoMamba leaves both at 0 and
    draws all projections from N(0, 0.02²). "balanced" draws both directions' Δ log-uniformly.

    Args:
        mixer: to fill.
        settings: the model's config: `init`, `average` (Vim) and `depth`.
        generator: on the CPU.
    """
    balanced = settings.init == "balanced"
    small = not balanced and not settings.average
    _linear_(mixer.in_proj.weight, small, generator)
    for reverse in (False, True):
        way = mixer.direction(reverse)
        _init_direction(way, small, generator)
        if balanced or (settings.average and not reverse):
            way.dt_bias.data.copy_(_step_bias(way.dt_bias, generator))
        else:
            nn.init.zeros_(way.dt_bias)
    # One residual addition a layer: the stream's variance should not grow with the depth.
    _linear_(mixer.out_proj.weight, False, generator)
    mixer.out_proj.weight.data.div_(math.sqrt(settings.depth))


def _init_direction(way: Direction, small: bool, generator: torch.Generator) -> None:
    taps = way.conv_weight.shape[-1]
    for tensor in (way.conv_weight, way.conv_bias):
        nn.init.uniform_(tensor, -(taps**-0.5), taps**-0.5, generator=generator)
    _linear_(way.x_proj, small, generator)
    _linear_(way.dt_proj, small, generator)
    states = torch.arange(1, way.A_log.shape[1] + 1, dtype=torch.float32)
    way.A_log.data.copy_(states.log().expand_as(way.A_log))
    nn.init.ones_(way.D)


def _linear_(weight: Tensor, small: bool, generator: torch.Generator) -> None:
    """N(0, 0.02²), or uniform within ±1/√fan_in."""
    if small:
        nn.init.trunc_normal_(weight, std=0.02, generator=generator)
    else:
        bound = weight.shape[1] ** -0.5
        nn.init.uniform_(weight, -bound, bound, generator=generator)


def _lecun_(kernel: Tensor, generator: torch.Generator) -> None:
    # 0.8796 is the deviation of a unit normal cut at ±2.
    std = kernel[0].numel() ** -0.5 / 0.87962566103423978
    nn.init.trunc_normal_(kernel, std=std, a=-2 * std, b=2 * std, generator=generator)


def _step_bias(bias: Tensor, generator: torch.Generator) -> Tensor:
    """softplus⁻¹(Δ), Δ log-uniform in [0.001, 0.1]."""
    low, high = math.log(DT_MIN), math.log(DT_MAX)
    uniform = torch.rand(bias.shape, generator=generator, dtype=torch.float32)
    step = torch.exp(low + uniform * (high - low)).clamp_min(DT_FLOOR)
    return step + torch.log(-torch.expm1(-step))
