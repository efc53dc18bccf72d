"""Two threads against one: large work must gain, work below the kernels' threshold must not lose.

Freed memory is kept from here on, as the package's own commands do: by glibc's default every large tensor
faults in anew. It stays so for the whole process, which is why this group comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from rmeeto import create_model
from rmeeto.profiling import NoiseInput
from rmeeto.workflows.allocator import keep_freed_memory

from .conv_norm import conv_case, norm_case
from .merge import kernel_case, share_case
from .models import VIM, forward
from .registry import Benchmark, Case, Work
from .scan import case as scan_case
from .scan_work import Shape
from .scan_work import forward as scan_forward
from .scan_work import with_backward as scan_with_backward
from .training import training_step

SMALL_CALLS = 50  # of tiny work in one: setting the number of threads takes time too


def case(make: Callable[[], Work], units: float, unit: str, repeats: int = 1) -> Case:
    """One piece of work on one and on two threads; wall time."""
    keep_freed_memory()
    work = make()

    def on(threads: int) -> Work:
        def run() -> None:
            torch.set_num_threads(threads)
            for _ in range(repeats):
                work()

        return run

    candidates = {"1 thread": on(1), "2 threads": on(2)}
    return Case(candidates, "2 threads", units * repeats, unit)


def _ours(setup: Callable[..., Case], *args) -> Work:
    found = setup(*args)
    return found.candidates[found.ours]


def _model(batch: int, precision: str) -> Work:
    model = create_model(VIM)
    return forward(model, NoiseInput(224)(batch), precision)


def large() -> Iterator[tuple[str, Callable[[], Work], int, float]]:
    """(name, work, images, seconds)."""
    for precision, seconds in (("fp32", 16), ("bf16", 10)):
        yield f"model vim_tiny/B=32/{precision}", partial(_model, 32, precision), 32, seconds
        yield f"merge step/B=32/{precision}", partial(_ours, share_case, 32, precision), 32, 3
    shape = Shape(32, 197, 384, 16)
    for name, make in {
        "scan forward": scan_forward,
        "scan forward+backward": scan_with_backward,
    }.items():
        yield f"{name}/{shape}", partial(_ours, scan_case, make, shape), 32, 4
    yield "training vim_tiny/B=8/fp32", partial(training_step, VIM, 8), 8, 10


def _small() -> Iterator[tuple[str, Callable[[], Work]]]:
    """Work of some microseconds."""
    shape = Shape(1, 16, 64, 8)
    yield f"small scan/{shape}", partial(_ours, scan_case, scan_forward, shape)
    yield "small conv/16x64", partial(_ours, conv_case, 1, torch.float32, 16, 64)
    yield "small norm/16x64", partial(_ours, norm_case, 1, torch.float32, 16, 64)
    yield "small match/16x64", partial(_ours, kernel_case, "match", 1, 16, 64, 2)


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    for name, make, images, seconds in large():
        quick = name.startswith("scan forward/")
        setup = partial(case, make, images, "images")
        yield Benchmark(f"threads/{name}", setup, seconds, threads=2, quick=quick)
    for name, make in _small():
        setup = partial(case, make, 1, "calls", SMALL_CALLS)
        yield Benchmark(f"threads/{name}", setup, 2, threads=2, quick=True)
