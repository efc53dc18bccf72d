"""The same benchmarks on another version of the package, in processes that take turns.

Two versions can't live in one process, so ratios here are less sharp than those within a process: each
process has its own memory layout, and what disturbs one round disturbs only one side of it. A ratio
whose interval holds 1 says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tools.other_tree import environment

from rmeeto.config import to_dict
from rmeeto.evaluation.intervals import Interval, bootstrap_median
from rmeeto.profiling import describe_machine
from rmeeto.storage import write_atomic

from .registry import Benchmark

ROOT = Path(__file__).parents[1]
Times = dict[str, list[float]]


def compare(options: argparse.Namespace, benchmarks: Sequence[Benchmark]) -> str:
    """Time our candidates of both versions and return the table of ratios; above 1, this one is faster.

    The benchmarks' code is this version's for both; what the other version can't run is left out.
    """
    print(f"building {options.base} …", flush=True)
    with tempfile.TemporaryDirectory() as scratch, _built(options.base, Path(scratch)) as tree:
        sides = {"base": environment(tree / "src", Path(scratch)), "here": dict(os.environ)}
        times: dict[str, Times] = {side: {b.name: [] for b in benchmarks} for side in sides}
        for i in range(options.rounds):
            for side in list(sides)[:: 1 if i % 2 == 0 else -1]:
                print(f"round {i + 1} of {options.rounds}, {side}", flush=True)
                found = _timed(sides[side], Path(scratch) / "out.json", options, benchmarks)
                for name, seconds in found.items():
                    times[side][name].append(seconds)
    ratios = dict(_ratios(times["base"], times["here"], options.rounds))
    record = {"base": options.base, "rounds": options.rounds, "machine": describe_machine()}
    record["ratios"] = {name: to_dict(ratio) for name, ratio in ratios.items()}
    path = options.out.with_name(f"{options.out.stem}_base.json")
    write_atomic(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    rows = [f"| {name} | {ratio} |" for name, ratio in ratios.items()]
    return "\n".join([f"| benchmark | time of {options.base} / time here |", "|---|---|", *rows])


@contextmanager
def _built(ref: str, scratch: Path) -> Iterator[Path]:
    """A working tree of ``ref`` with its native module."""
    tree = scratch / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", tree, ref], check=True)
    try:
        build = [tree / "csrc" / "dev_build.sh", sys.executable]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", tree], check=False)


def _timed(
    variables: dict[str, str],
    out: Path,
    options: argparse.Namespace,
    benchmarks: Sequence[Benchmark],
) -> dict[str, float]:
    """Medians of one process on one version, for what it could run."""
    command = [sys.executable, "-m", "benchmarks", "--ours", "--fresh", "--quick", "--out", out]
    command += ["--only", *(b.name for b in benchmarks)]
    command += ["--threads", *map(str, options.threads)]
    out.unlink(missing_ok=True)
    subprocess.run(command, cwd=ROOT, env=variables, check=True, stdout=subprocess.DEVNULL)
    results = json.loads(out.read_text())["results"]
    return {
        name: next(t["median"] for t in record["timings"] if t["label"] == record["ours"])
        for name, record in results.items()
        if record["status"] == "measured"
    }


def _ratios(base: Times, here: Times, rounds: int) -> Iterator[tuple[str, Interval]]:
    for name, seconds in base.items():
        if len(seconds) == len(here[name]) == rounds:
            yield name, bootstrap_median(np.divide(seconds, here[name]), unit="×")
