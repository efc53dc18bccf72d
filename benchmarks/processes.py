"""What a second core of this machine is worth at best: two processes that share nothing, against one.

``python -m benchmarks.processes WORK SECONDS`` is such a process: it repeats the work on one thread and
prints its calls a second.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import torch

from rmeeto.workflows.allocator import keep_freed_memory

from .memory import ROOT
from .registry import Benchmark, Case, Work
from .threads import large

SECONDS = 3.0


def case(name: str, seconds: float = SECONDS) -> Case:
    """No race within a process: calls a second of one process, and of two at the same time."""
    alone, pair = sum(_rates(name, 1, seconds)), sum(_rates(name, 2, seconds))
    facts = {"one process, calls/s": alone, "two processes, calls/s": pair, "ratio": pair / alone}
    return Case({}, "", 1, "calls", facts={k: round(v, 4) for k, v in facts.items()})


def _rates(name: str, processes: int, seconds: float) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.processes", name, str(seconds)]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as ends:  # closes their pipes, at which one that still waits ends too
        running = [
            ends.enter_context(subprocess.Popen(command, cwd=ROOT, **pipe))
            for _ in range(processes)
        ]
        for each in running:  # all are set up before the first one starts
            _line(each)
        for each in running:
            print("go", file=each.stdin, flush=True)
        return [float(_line(each)) for each in running]


def _line(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    text = process.stdout.readline().strip()
    if not text:
        raise RuntimeError(f"a process ended early, with status {process.wait()}")
    return text


def works() -> dict[str, Callable[[], Work]]:
    """Name → the large pieces of work that threads are measured on."""
    return {name: make for name, make, _, _ in large() if not name.startswith("merge")}


def main(name: str, seconds: str) -> None:
    """Set up, wait for the word, work."""
    keep_freed_memory()
    torch.set_num_threads(1)
    work = works()[name]()
    work()
    print("ready", flush=True)
    sys.stdin.readline()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < float(seconds):
        work()
        calls += 1
    print(calls / (time.perf_counter() - start), flush=True)


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    for name in works():
        yield Benchmark(f"processes/{name}", partial(case, name), 4 * SECONDS + 6, threads=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
