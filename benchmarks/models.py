"""Whole Vim-Ti: against DeiT-Ti, against its naive self, and against the bound of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module

import torch
from torch import Tensor, nn

from rmeeto import create_model
from rmeeto.evaluation.modes import autocast
from rmeeto.profiling import NoiseInput

from .limits import MachineLimits
from .loops import naive_scans
from .peers import missing
from .registry import Benchmark, Case, Limit, Work
from .scan import FORWARD_INSTRUCTIONS

VIM, DEIT = "vim_tiny_patch16_224", "deit_tiny_patch16_224"
BYPASS_SECONDS = 60e-6
"""Assumed for convolution, softplus, gate and norm of one image in one layer."""


def forward(model: nn.Module, images: Tensor, precision: str) -> Work:
    """One call in eval mode; half precision by autocast, as the package's own commands do."""
    model.eval()

    @torch.inference_mode()
    def run() -> Tensor:
        with autocast(images.device, precision):
            return model(images)

    return run


def naive(work: Work) -> Work:
    """The same work with the unbind loop in place of every scan."""

    def run() -> Tensor:
        with naive_scans():
            return work()

    return run


def disagreement(model: nn.Module, images: Tensor) -> float:
    """Largest difference of the logits of one image from the naive model's, relative."""
    run = forward(model, images[:1], "fp32")
    ours, plain = run(), naive(run)()
    return ((ours - plain).abs().max() / plain.abs().max()).item()


def bound(images: int, precision: str, machine: MachineLimits) -> list[Limit]:
    """Vim-Ti's layers from their parts: products, two scans, 60 µs for the rest.

    The products once at the rate measured for their own shapes, once at the machine's best.
    """
    if machine.isa != "avx512":
        return []
    layers, tokens, width, states = 24, 197, 192, 16
    inner, rates = 2 * width, machine.gemm_gflops[precision]
    macs = {"in_proj": width * 2 * inner, "out_proj": inner * width}
    macs |= {"x_proj": 2 * inner * 44, "dt_proj": 2 * inner * 12}
    flops = {name: 2e-9 * tokens * each for name, each in macs.items()}  # GFLOP a layer and image
    scan = (
        2 * tokens * inner * states * FORWARD_INSTRUCTIONS / 16 / (machine.fma_gflops / 32) * 1e-9
    )
    peak = max([*rates.values(), machine.fma_gflops if precision == "fp32" else 0.0])
    found = []
    for name, products in {
        "bound, products as measured": sum(flops[k] / rates[k] for k in flops),
        "bound, products at the peak": sum(flops.values()) / peak,
    }.items():
        each = products + scan + BYPASS_SECONDS
        parts = f"{products * 1e6:.0f} products + {scan * 1e6:.0f} scans + 60 others"
        found.append(Limit(name, images * layers * each, f"{parts} µs a layer and image"))
    return found


def against_deit(batch: int, precision: str, with_naive: bool = False, size: int = 224) -> Case:
    """Vim-Ti against DeiT-Ti on images of ``size`` pixels; the baseline is DeiT-Ti."""
    images = NoiseInput(size)(batch)
    vim, deit = create_model(VIM, img_size=size), create_model(DEIT, img_size=size)
    candidates = {
        "DeiT-Ti": forward(deit, images, precision),
        "Vim-Ti": forward(vim, images, precision),
    }
    skipped = {}
    if with_naive:
        candidates["Vim-Ti, unbind loop"] = naive(candidates["Vim-Ti"])
        if why := missing("timm"):
            skipped["timm DeiT-Ti"] = why
        else:
            timm = import_module("timm").create_model(DEIT)
            candidates["timm DeiT-Ti"] = forward(timm, images, precision)
    return Case(
        candidates=candidates,
        ours="Vim-Ti",
        units=batch,
        unit="images",
        limits=partial(bound, batch, precision) if size == 224 else lambda _: [],
        error=partial(disagreement, vim, images) if with_naive else None,
        skipped=skipped,
        facts={"tokens": vim.num_tokens},
    )


SIZES = (224, 320, 384, 448, 512, 640)
"""Pixels: 197, 401, 577, 785, 1025 and 1601 tokens."""


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    for precision in ("fp32", "bf16"):
        for batch in (1, 8, 32):
            full = batch == 1 and precision == "fp32"
            seconds = {1: 10 if full else 4, 8: 8, 32: 20}[batch]
            setup = partial(against_deit, batch, precision, full)
            name = f"model/vim_tiny/B={batch}/{precision}"
            yield Benchmark(name, setup, seconds, quick=batch == 1)
        setup = partial(against_deit, 32, precision)
        yield Benchmark(f"model/vim_tiny/B=32/{precision}/2 threads", setup, 12, threads=2)
        sizes = SIZES if precision == "fp32" else (*SIZES, 896)
        for size in sizes:
            setup = partial(against_deit, 2, precision, False, size)
            yield Benchmark(f"length/vim_tiny {size} px/B=2/{precision}", setup, 3 + size / 80)
