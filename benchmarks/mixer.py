"""A whole one-direction Mamba mixer, projections included, against the one of transformers; what a
block of Vision Mamba does between its projections, fused against the composition of the smaller ops;
and a whole such block, fused against norm, projections, mixer and addition one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rmeeto import ops
from rmeeto.ops.bidirectional_mamba import Direction, scan_both
from rmeeto.ops.mamba_block import BlockWeights

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


def two_way_case(
    shape: tuple[int, int, int], states: int, rank: int, training: bool, dtype: torch.dtype
) -> Case:
    """The fused op against separate convolutions, products and scans, all on the same kernels.

    Args:
        shape: images, tokens, inner channels.
        states, rank: of each direction.
        training: forward and backward instead of forward.
        dtype: of the activations.
    """
    batch, length, channels = shape
    xz = torch.randn(batch, length, 2 * channels).to(dtype).requires_grad_(training)
    ways = _direction(channels, states, rank), _direction(channels, states, rank)
    leaves = [xz, *(p.requires_grad_(training) for way in ways for p in way)]

    def separate() -> Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return scan_both(xz, *ways)[0]

    def fused() -> Tensor:
        return ops.bidirectional_mamba(xz, *ways)

    def work(mix: Callable[[], Tensor]) -> Work:
        if training:
            return lambda: torch.autograd.grad(mix().square().mean(), leaves)
        return torch.inference_mode()(mix)

    def error() -> float:
        one, other = separate().detach().float(), fused().detach().float()
        return ((one - other).abs().max() / one.abs().max()).item()

    candidates = {"separate ops": work(separate), "fused": work(fused)}
    tolerance = 1e-4 if dtype == torch.float32 else 2**-5
    return Case(candidates, "fused", batch, "images", error=error, tolerance=tolerance)


def block_case(batch: int, length: int, width: int, states: int, rank: int) -> Case:
    """One kernel for a whole block against a kernel for each of its parts, without gradients.

    Args:
        batch, length, width: of the residual stream; the inner width is twice as large.
        states, rank: of each direction.
    """
    stream, inner = torch.randn(batch, length, width), 2 * width
    ways = _direction(inner, states, rank), _direction(inner, states, rank)
    in_proj = torch.randn(2 * inner, width) * width**-0.5
    weights = BlockWeights(torch.ones(width), in_proj, torch.randn(width, inner) * inner**-0.5)

    def separate() -> Tensor:
        normed = ops.rms_norm(stream, weights.norm)
        mixed = ops.bidirectional_mamba(F.linear(normed, weights.in_proj), *ways)
        return stream + F.linear(mixed, weights.out_proj)

    def fused() -> Tensor:
        return ops.mamba_block(stream, weights, *ways)[0]

    def error() -> float:
        with torch.inference_mode():
            one, other = separate(), fused()
        return ((one - other).abs().max() / one.abs().max()).item()

    works = {"separate ops": separate, "fused": fused}
    candidates = {label: torch.inference_mode()(work) for label, work in works.items()}
    return Case(candidates, "fused", batch, "images", error=error, tolerance=1e-4)


def _direction(channels: int, states: int, rank: int) -> Direction:
    return Direction(
        torch.randn(channels, 1, 4) / 2,
        torch.zeros(channels),
        torch.randn(rank + 2 * states, channels) * channels**-0.5,
        torch.randn(channels, rank) * rank**-0.5,
        torch.randn(channels) - 4,
        torch.arange(1.0, states + 1).log().repeat(channels, 1),
        torch.ones(channels),
    )


def _two_way() -> Iterator[Benchmark]:
    demo, tiny = ((32, 197, 128), 8, 4), ((8, 197, 384), 16, 12)
    for name, size in (("B=32,D=128", demo), ("B=8,D=384", tiny)):
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            for threads in (1, 2):
                setup = partial(two_way_case, *size, False, dtype)
                label = f"mixer/two-way forward/{name},threads={threads}/{precision}"
                yield Benchmark(label, setup, 2, threads)
        for threads in (1, 2):
            setup = partial(two_way_case, *size, True, torch.float32)
            label = f"mixer/two-way forward+backward/{name},threads={threads}/fp32"
            yield Benchmark(label, setup, 4, threads)


def _blocks() -> Iterator[Benchmark]:
    demo, coarse = (197, 64, 8, 4), (65, 96, 8, 6)
    sizes = ("B=1,C=64", (1, *demo)), ("B=32,C=64", (32, *demo)), ("B=32,C=96", (32, *coarse))
    for name, size in sizes:
        for threads in (1, 2):
            label = f"mixer/block forward/{name},threads={threads}/fp32"
            yield Benchmark(label, partial(block_case, *size), 2, threads)


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part; the peer's backward is slow, so one image only."""
    yield from _two_way()
    yield from _blocks()
    yield Benchmark("mixer/forward/B=8/fp32", partial(case, 8, False), 4, quick=True)
    yield Benchmark("mixer/forward+backward/B=1/fp32", partial(case, 1, True), 5)
