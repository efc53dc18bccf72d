"""Time one benchmark: candidates interleaved, medians with percentiles, ratios with intervals, limits."""

from __future__ import annotations

import math
import time
from typing import Any

from rmeeto.config import to_dict
from rmeeto.profiling import Stop, Timing

# Private parts, by the names that they have in every version that `--base` may meet.
from rmeeto.profiling.latency import Clock, _speedups, _threads, _time_rounds
from rmeeto.profiling.machine import load

from .limits import MachineLimits
from .registry import Benchmark, Case, Work

TURN_SECONDS = 0.02
"""A candidate's turn takes this long at least, with as many calls as fit: fast ones would otherwise be
timed with the caches as the slow ones left them."""
MOST_CALLS = 2000
SEED = 0


def measure(
    benchmark: Benchmark,
    limits: MachineLimits | None,
    *,
    ours_only: bool = False,
    speed: float = 1.0,
) -> dict[str, Any]:
    """Set up, check that the candidates agree, time them.

    Args:
        benchmark: what to measure.
        limits: of the machine; None leaves the shares of limits out.
        ours_only: leave out the baselines and the check against them.
        speed: divides the time budget.

    Returns:
        Plain values: status "measured", or "wrong" with the disagreement and without any speed.
    """
    if benchmark.threads > 1:
        limits = None  # they are those of one core
    clock = time.process_time if benchmark.threads == 1 else time.perf_counter
    start, before = time.perf_counter(), load()
    with _threads(benchmark.threads):
        case = benchmark.setup()
        record: dict[str, Any] = {"status": "measured", "threads": benchmark.threads}
        record |= {"facts": dict(case.facts), "skipped": dict(case.skipped)}
        if case.error and not ours_only:
            record |= {"error": case.error(), "tolerance": case.tolerance}
            if not record["error"] <= case.tolerance:
                return record | {"status": "wrong"}
        left = benchmark.seconds / speed - (time.perf_counter() - start)
        labels = [case.ours] if ours_only and case.candidates else list(case.candidates)
        if labels:
            works = {label: case.candidates[label] for label in labels}
            record |= _timed(case, works, clock, max(left, 0.05), limits)
    record |= {"load_before": before, "load_after": load()}
    return record | {"seconds": time.perf_counter() - start}


def _timed(
    case: Case, works: dict[str, Work], clock: Clock, budget: float, limits: MachineLimits | None
) -> dict[str, Any]:
    calls = {label: _calls(work, clock) for label, work in works.items()}
    turns = {label: _turn(work, calls[label], clock) for label, work in works.items()}
    stop = Stop(budget_seconds=budget, min_seconds=0.1)
    times, stopped = _time_rounds(turns, stop, 0, SEED, clock)
    timings = {label: _summary(label, seconds) for label, seconds in times.items()}
    flops = {label: 1 / case.ceilings.get(label, 1.0) for label in works} if case.ceilings else None
    return {
        "clock": clock.__name__,
        "stopped": stopped,
        "baseline": next(iter(works)),
        "ours": case.ours,
        "units": case.units,
        "unit": case.unit,
        "timings": [t | {"calls": calls[label]} for label, t in timings.items()],
        "ratios": [to_dict(s) for s in _speedups(1, times, flops, SEED)],
        "limits": _shares(case, timings[case.ours]["median"], limits),
    }


def _calls(work: Work, clock: Clock) -> int:
    """Calls that make a turn; the slowest work gets no call but the one that warms it up."""
    seconds = _turn(work, 1, clock)()
    if seconds < TURN_SECONDS * 10:
        seconds = _turn(work, 1, clock)()
    return min(MOST_CALLS, max(1, math.ceil(TURN_SECONDS / max(seconds, 1e-9))))


def _turn(work: Work, calls: int, clock: Clock):
    """A function that calls several times and returns the seconds of one call."""

    def turn() -> float:
        start = clock()
        for _ in range(calls):
            work()
        return (clock() - start) / calls

    return turn


def _summary(label: str, seconds: list[float]) -> dict[str, Any]:
    timing = to_dict(Timing.of(label, 1, seconds))
    wanted = ("label", "median", "p5", "p20", "p80", "p95", "rounds")
    return {key: timing[key] for key in wanted}


def _shares(case: Case, seconds: float, limits: MachineLimits | None) -> list[dict[str, Any]]:
    """How close our median comes to each limit; 1 is at the limit."""
    if limits is None:
        return []
    return [to_dict(limit) | {"share": limit.seconds / seconds} for limit in case.limits(limits)]
