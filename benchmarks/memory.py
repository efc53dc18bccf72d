"""Peak memory of a training step, each candidate in a fresh process.

``python -m benchmarks.memory LABEL MODEL BATCH`` is such a process: it prints its own peak in MiB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from .registry import Benchmark, Case
from .training import CANDIDATES, MICRO, VIM

ROOT = Path(__file__).parents[1]


def case(model: str, batch: int) -> Case:
    """No times: the peaks of whole processes, interpreter and libraries included, and of an idle one."""
    labels = ("idle", *CANDIDATES)
    return Case(
        {}, "", batch, "images", facts={f"{k}, MiB": _peak(k, model, batch) for k in labels}
    )


def _peak(label: str, model: str, batch: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", label, model, str(batch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{label}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak_here() -> float:
    """MiB; from the kernel's own line where there is one, since getrusage starts at the parent's peak."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def main(label: str, model: str, batch: str) -> None:
    """Two steps, since the optimiser's state is there from the second on; then the peak."""
    torch.set_num_threads(1)
    if label != "idle":
        step = CANDIDATES[label](model, int(batch))
        step()
        step()
    print(json.dumps(round(_peak_here(), 1)))


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    yield Benchmark("memory/training vim_micro/B=8/fp32", partial(case, MICRO, 8), 18)
    yield Benchmark("memory/training vim_tiny/B=8/fp32", partial(case, VIM, 8), 75)


if __name__ == "__main__":
    main(*sys.argv[1:])
