"""A whole one-direction Mamba mixer, projections included, against the one of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmeeto import ops

from .peers import missing, transformers_mixer
from .registry import Benchmark, Case, Work

STATES, RANK = 16, 12


class OneWayMixer(nn.Module):
    """The mixer of Mamba from our ops; its parameters are named as in transformers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * width
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, 4, groups=inner, padding=3)
        self.x_proj = nn.Linear(inner, RANK + 2 * STATES, bias=False)
        self.dt_proj = nn.Linear(RANK, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, STATES + 1).repeat(inner, 1).log())
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B,L,C) → (B,L,C)."""
        x, z = self.in_proj(tokens).transpose(1, 2).chunk(2, dim=1)
        u = ops.causal_conv1d(x, self.conv1d.weight, self.conv1d.bias, "silu")
        dt, B, C = self.x_proj(u.transpose(1, 2)).split((RANK, STATES, STATES), dim=-1)
        delta = F.linear(dt, self.dt_proj.weight)
        B, C, delta = (y.transpose(1, 2) for y in (B, C, delta))
        bias, decay = self.dt_proj.bias, -self.A_log.exp()
        y = ops.selective_scan(u, delta, decay, B, C, self.D, z, bias, delta_softplus=True)
        return self.out_proj(y.transpose(1, 2))


def case(batch: int, training: bool, length: int = 197, width: int = 192) -> Case:
    """Ours, and the fallback of transformers with the same weights where it is installed."""
    mixer, tokens = OneWayMixer(width), torch.randn(batch, length, width)
    models, why = {"native": mixer}, missing("transformers")
    if not why:
        peer = transformers_mixer(width, STATES)
        peer.load_state_dict(mixer.state_dict())
        models = {"transformers": peer, **models}
    make = _step if training else _forward

    def error() -> float:
        first, *others = (_forward(model, tokens)() for model in models.values())
        return max(
            [((y - first).abs().max() / first.abs().max()).item() for y in others], default=0.0
        )

    return Case(
        candidates={label: make(model, tokens) for label, model in models.items()},
        ours="native",
        units=batch,
        unit="images",
        error=error,
        skipped={"transformers": why} if why else {},
    )


def _forward(model: nn.Module, tokens: Tensor) -> Work:
    return torch.inference_mode()(lambda: model(tokens))


def _step(model: nn.Module, tokens: Tensor) -> Work:
    parameters = list(model.parameters())
    return lambda: torch.autograd.grad(model(tokens).square().mean(), parameters)


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part; the peer's backward is slow, so one image only."""
    yield Benchmark("mixer/forward/B=8/fp32", partial(case, 8, False), 4, quick=True)
    yield Benchmark("mixer/forward+backward/B=1/fp32", partial(case, 1, True), 5)
