"""One reduction step: its two kernels against plain torch code, and the whole step against a block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from rmeeto import RMeeTo, create_model, ops
from rmeeto.backbones import Backbone
from rmeeto.evaluation.modes import autocast
from rmeeto.ops import dispatch
from rmeeto.profiling import NoiseInput
from rmeeto.tokens import Reduction

from .conv_norm import on
from .limits import MachineLimits
from .models import VIM
from .registry import Benchmark, Case, Limit, Work, no_limits


def kernel_case(kernel: str, batch: int, tokens: int = 197, width: int = 192, r: int = 11) -> Case:
    """Matching or merging of noise with a class token in the middle, native against torch."""
    x = torch.randn(batch, tokens, width, generator=torch.Generator().manual_seed(0))
    protected = (torch.arange(tokens) == tokens // 2).repeat(batch, 1)
    size = torch.ones(batch, tokens)
    plan = ops.bipartite_match(x, protected, r)[0]

    def match() -> Tensor:
        return ops.bipartite_match(x, protected, r)[0]

    def merge() -> Tensor:
        return ops.merge_tokens(x, size, plan, tokens - r)[0]

    work = {"match": match, "merge": merge}[kernel]

    def error() -> float:
        plain, native = (on(backend, work)().double() for backend in ("torch", "native"))
        return (plain - native).abs().max().item()

    def limits(machine: MachineLimits) -> list[Limit]:
        sources, targets = tokens // 2, (tokens - 1) // 2
        macs = batch * sources * targets * width
        text = f"{sources}·{targets}·{width} multiply-adds an image at the FMA peak"
        return [Limit("products at the peak", 2e-9 * macs / machine.fma_gflops, text)]

    candidates = {backend: on(backend, work) for backend in ("torch", "native")}
    bounds = limits if kernel == "match" else no_limits
    return Case(candidates, "native", batch, "images", bounds, error)


def share_case(batch: int, precision: str, model: Backbone | None = None, r: int = 11) -> Case:
    """The step as a model runs it, against the block before it: 1 / ratio is its share of the block."""
    model = (model or create_model(VIM)).eval()
    reduction = Reduction(RMeeTo(r=r), model)
    site = next(i for i, removed in enumerate(reduction.schedule.removals) if removed)
    config, block = model.config, model.block_list()[site - 1]
    images = NoiseInput(config.img_size, config.in_chans)(batch)
    taps = reduction.taps_for(site - 1)
    with torch.inference_mode(), autocast(images.device, precision):
        before = model.embed(images)
        after = block(before, taps)

    def run(backend: str | None, work) -> Work:
        @torch.inference_mode()
        def call() -> object:
            with autocast(images.device, precision), dispatch.use(backend):
                return work()

        return call

    step = partial(reduction, site, after)
    (features,) = after.taps.values()
    with torch.inference_mode():
        assign = ops.bipartite_match(features, after.protected, r)[0]
    match = partial(ops.bipartite_match, features, after.protected, r)
    merge = partial(ops.merge_tokens, after.tokens, after.size, assign, assign.shape[1] - r)
    return Case(
        candidates={
            "block": run(None, partial(block, before, taps)),
            "step": run(None, step),
            "its matching": run(None, match),
            "its merging": run(None, merge),
            "step, torch": run("torch", step),
        },
        ours="step",
        units=batch,
        unit="images",
        facts={"tokens": before.tokens.shape[1], "removed": r},
    )


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    for batch in (1, 32):
        for kernel in ("match", "merge"):
            yield Benchmark(
                f"merge/{kernel}/B={batch}/fp32", partial(kernel_case, kernel, batch), 2
            )
        for precision in ("fp32", "bf16"):
            setup = partial(share_case, batch, precision)
            yield Benchmark(f"merge/step/B={batch}/{precision}", setup, 4, quick=batch == 32)
