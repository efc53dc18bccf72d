"""Where the time of a whole model goes: what bounds the models that miss a target."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from torch.profiler import ProfilerActivity, profile

from rmeeto import RMeeTo, create_model, reduce_
from rmeeto.profiling import NoiseInput

from .limits import best
from .models import DEIT, VIM, forward
from .registry import Benchmark, Case, Work

PARTS = {
    "products": ("addmm", "::mm", "::bmm", "linear_pointwise", "mkldnn_linear", "convolution"),
    "mixers": ("bidirectional_mamba", "mamba_block"),
    "attention": ("attention",),
    "norms": ("rms_norm", "layer_norm"),
    "matching and merging": ("bipartite_match", "merge_tokens"),
}
"""Part → what is in the names of its operators; all other time, Python's too, is "the rest"."""
RUNS = {1: 10, 8: 3, 32: 1}
"""Batch → profiled calls."""


def parts(work: Work, images: int, runs: int) -> dict[str, float]:
    """Milliseconds an image: the whole, undisturbed, and each part of it as the profiler sees it."""
    whole = best(work, runs=2 + runs)
    processor, wall = time.process_time(), time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(runs):
            work()
    # The profiler reads the wall clock; where others use this core too, only a share of it is ours.
    ours = (time.process_time() - processor) / (time.perf_counter() - wall)
    sums = dict.fromkeys(PARTS, 0.0)
    for operator in seen.key_averages():
        if part := _part(operator.key):
            sums[part] += operator.self_cpu_time_total * 1e-6 * min(ours, 1.0) / runs
    found = {"whole": whole, **sums, "the rest": whole - sum(sums.values())}
    return {name: round(1e3 * seconds / images, 4) for name, seconds in found.items() if seconds}


def _part(operator: str) -> str | None:
    return next((p for p, names in PARTS.items() if any(n in operator for n in names)), None)


def case(model: str, batch: int, precision: str, r: int = 0) -> Case:
    """No race: the parts of one model, with or without a reduction, on one thread."""
    built = create_model(model)
    if r:
        reduce_(built, RMeeTo(r=r))
    images = NoiseInput(built.config.img_size, built.config.in_chans)(batch)
    found = parts(forward(built, images, precision), batch, RUNS.get(batch, 1))
    return Case({}, "", batch, "images", facts={f"{name}, ms": ms for name, ms in found.items()})


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    models = {"vim_tiny": (VIM, 0), "vim_tiny r=11": (VIM, 11), "deit_tiny": (DEIT, 0)}
    for name, (model, r) in models.items():
        for batch, seconds in ((1, 1), (32, 5)):
            for precision in ("fp32", "bf16"):
                setup = partial(case, model, batch, precision, r)
                yield Benchmark(f"parts/{name}/B={batch}/{precision}", setup, seconds)
