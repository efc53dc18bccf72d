"""The command: measure what the results file lacks, benchmark by benchmark, and print the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import table
from .base import compare
from .limits import NoProbeError, measure_limits
from .measure import measure
from .registry import Benchmark, all_benchmarks
from .results import Results

LIMITS_SECONDS = 15
QUICK = 4
"""``--quick`` divides time budgets by this."""


def run(benchmarks: Sequence[Benchmark], results: Results, options: argparse.Namespace) -> None:
    """Measure what is not there yet; each result is on disk before the next one starts.

    A benchmark that fails is recorded with its error and does not stop the others.
    """
    todo = [b for b in benchmarks if not results.has(b.name)]
    speed = QUICK if options.quick else 1
    expected = sum(max(b.seconds / speed, 1) for b in todo) + (
        0 if options.ours else LIMITS_SECONDS
    )
    print(f"{len(todo)} of {len(benchmarks)} benchmarks to run, about {expected / 60:.1f} min")
    limits = None
    if todo and not options.ours:
        try:
            limits = results.limits(measure_limits)
        except NoProbeError as why:
            print(f"no machine limits: {why}")
    for i, benchmark in enumerate(todo, 1):
        start = time.perf_counter()
        try:
            record = measure(benchmark, limits, ours_only=options.ours, speed=speed)
        except Exception as error:  # a peer of another version, memory: say so and go on
            record = {"status": "failed", "reason": f"{type(error).__name__}: {error}"[:300]}
        results.add(benchmark.name, record)
        took = time.perf_counter() - start
        print(f"[{i}/{len(todo)}] {took:5.1f} s  {table.line(benchmark.name, record)}", flush=True)


def chosen(options: argparse.Namespace) -> list[Benchmark]:
    """The benchmarks that the options select."""
    found = all_benchmarks(lenient=options.ours)
    if options.only:
        found = [b for b in found if any(part in b.name for part in options.only)]
    if options.quick:
        found = [b for b in found if b.quick]
    return [b for b in found if b.threads in options.threads]


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print."""
    options = _parser().parse_args(arguments)
    benchmarks = chosen(options)
    if not benchmarks:
        sys.exit(f"no benchmark matches; there are {' '.join(b.name for b in all_benchmarks())}")
    if options.base:
        print(compare(options, [b for b in benchmarks if b.group != "memory"]))
        return
    results = Results(options.out, fresh=options.fresh)
    run(benchmarks, results, options)
    if not options.ours:
        print(table.render(results.data))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/cpu_kernels.json"))
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names to run")
    parser.add_argument("--quick", action="store_true", help="a small part, shorter: two minutes")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="counts to run")
    parser.add_argument("--fresh", action="store_true", help="measure again what is in the file")
    parser.add_argument("--ours", action="store_true", help="only our candidates, no baselines")
    parser.add_argument("--base", metavar="REF", help="compare with another version of rmeeto")
    parser.add_argument("--rounds", type=int, default=5, help="of processes, with --base")
    return parser
