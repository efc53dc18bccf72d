"""Whole models with and without token reduction: the speed-up and what the count of operations allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from rmeeto import RMeeTo, create_model
from rmeeto.backbones import Backbone
from rmeeto.ops import dispatch
from rmeeto.profiling import NoiseInput, count_flops
from rmeeto.tokens import Reduction, TokenState

from .models import VIM, forward
from .registry import Benchmark, Case

RS = (3, 5, 8, 11, 15, 20)
FREE = 11


class Cut(nn.Module):
    """The token counts of a schedule without its work: the last tokens are cut off."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        self.removals = reduction.schedule.removals

    def taps_for(self, block: int, start: int) -> frozenset[str]:
        return frozenset()

    def forward(self, site: int, state: TokenState) -> TokenState:
        if not self.removals[site]:
            return state
        left = state.tokens.shape[1] - self.removals[site]
        tokens = state.tokens[:, :left].contiguous()
        return replace(
            state, tokens=tokens, size=state.size[:, :left], protected=state.protected[:, :left]
        )


class Reduced(nn.Module):
    """A model together with one of several reductions, which take turns in it."""

    def __init__(self, model: Backbone, reduction: nn.Module | None) -> None:
        super().__init__()
        self.model, self.reduction = model, reduction

    def forward(self, images: Tensor) -> Tensor:
        self.model.reduction = self.reduction  # type: ignore[assignment]
        return self.model(images)


def case(model_name: str, batch: int, precision: str, rs: tuple[int, ...] = RS) -> Case:
    """Speed over r; "r=11 free" has the same token counts by cutting, which costs next to nothing."""
    model = create_model(model_name).eval()
    images = NoiseInput(model.config.img_size, model.config.in_chans)(batch)
    models = {"r=0": Reduced(model, None)}
    gmacs = {"r=0": count_flops(model, "full").gflops}
    for r in rs:
        reduction = Reduction(RMeeTo(r=r), model)
        models[f"r={r}"] = Reduced(model, reduction)
        model.reduction = reduction
        gmacs[f"r={r}"] = count_flops(model, "full").gflops
        model.reduction = None
        if r == FREE:
            models[f"r={r} free"] = Reduced(model, Cut(reduction))
            gmacs[f"r={r} free"] = gmacs[f"r={r}"]  # the matching is less than a thousandth
    return Case(
        candidates={k: forward(m, images, precision) for k, m in models.items()},
        ours=f"r={FREE}" if FREE in rs else f"r={rs[-1]}",
        units=batch,
        unit="images",
        error=partial(disagreement, models, images[:4]),
        tolerance=1e-3,
        ceilings={label: gmacs["r=0"] / each for label, each in gmacs.items()},
    )


def disagreement(models: dict[str, Reduced], images: Tensor) -> float:
    """Of each reduction from plain torch code: the median over images, since a near-tie may merge others."""
    worst = 0.0
    for model in models.values():
        run = forward(model, images, "fp32")
        ours = run()
        with dispatch.use("torch"):
            plain = run()
        each = (ours - plain).abs().amax(1) / plain.abs().amax(1)
        worst = max(worst, torch.median(each).item())
    return worst


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    for batch, seconds in ((1, 12), (32, 50)):
        for precision, share in (("fp32", 1.0), ("bf16", 0.7)):
            name = f"reduced/vim_tiny/B={batch}/{precision}"
            yield Benchmark(name, partial(case, VIM, batch, precision), seconds * share)
    micro = partial(case, "vim_micro_patch2_28", 32, "fp32")
    yield Benchmark("reduced/vim_micro/B=32/fp32", micro, 8, quick=True)
