"""Compare the speed of models: interleaved calls, medians, percentiles, paired ratios.

Candidates take turns within every round, and the order rotates from round to round, so a machine
that slows down slows all of them. The ratio is the median over rounds of the ratio *within* a
round. Repeating stops when its interval is narrow enough or the time budget is spent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..evaluation.intervals import bootstrap_median
from ..evaluation.modes import autocast, evaluating
from .machine import describe_machine, load
from .speed import LEAST_ROUNDS, CostEstimate, SpeedResult, Speedup, Stop, Timing

Candidate = Callable[[Tensor], Any]
Clock = Callable[[], float]

_CHECK_EVERY = 5  # rounds between two looks at the interval


def compare_speed(
    candidates: Mapping[str, Candidate],
    make_input: Callable[[int], Tensor],
    batch_sizes: Sequence[int] = (1, 32, 128),
    stop: Stop | None = None,
    warmup: int = 3,
    *,
    flops: Mapping[str, float] | None = None,
    threads: int | None = None,
    precision: str = "fp32",
    seed: int = 0,
    on_estimate: Callable[[CostEstimate], None] | None = None,
    clock: Clock = time.perf_counter,
) -> SpeedResult:
    """Time candidates against the first one, interleaved.

    Args:
        candidates: label → module or callable taking images (B, channels, height, width).
        make_input: batch size → images, on the candidates' device; real images (`ImageInput`) for
            methods whose work depends on the content.
        batch_sizes: batch sizes to time.
        stop: when a batch size has been timed enough.
        warmup: untimed calls of each candidate at each batch size.
        flops: label → FLOPs of one image, one convention for all, for the ceiling.
        threads: torch threads during the comparison; None keeps the present number.
        precision: "fp32", "bf16" or "fp16" (autocast).
        seed: seed of the bootstrap.
        on_estimate: called with the expected cost before the long part starts.
        clock: seconds, increasing. `time.process_time` with one thread leaves out the time that
            others had the core, for a loaded machine; all limits are then processor time too.

    Returns:
        Timings, ratios and the record of the machine. Modules get their train mode back.

    Raises:
        ConfigError: no candidates or an unknown precision.
    """
    stop = stop or Stop()
    if not candidates or not batch_sizes:
        raise ConfigError("candidates and batch sizes", "none", "give one of each at least")
    with evaluating(*candidates.values()), _threads(threads):
        start, machine = clock(), describe_machine()
        estimate = estimate_cost(
            candidates, make_input, batch_sizes, stop, warmup, precision=precision, clock=clock
        )
        if on_estimate:
            on_estimate(estimate)
        times, stopped = {}, {}
        for size in batch_sizes:
            images = make_input(size)
            calls = {k: _timer(f, images, precision, clock) for k, f in candidates.items()}
            times[size], stopped[size] = _time_rounds(calls, stop, warmup, seed, clock)
        seconds = clock() - start
    return SpeedResult(
        baseline=next(iter(candidates)),
        timings=tuple(Timing.of(k, b, t) for b, by in times.items() for k, t in by.items()),
        speedups=tuple(s for b, by in times.items() for s in _speedups(b, by, flops, seed)),
        clock=getattr(clock, "__name__", "given by the caller"),
        input=getattr(make_input, "name", "given by the caller"),
        stopped=stopped, precision=precision, stop=stop, seed=seed, estimate=estimate,
        seconds=seconds, machine=machine, load_after=load(),
    )  # fmt: skip


def estimate_cost(
    candidates: Mapping[str, Candidate],
    make_input: Callable[[int], Tensor],
    batch_sizes: Sequence[int] = (1, 32, 128),
    stop: Stop | None = None,
    warmup: int = 3,
    *,
    precision: str = "fp32",
    clock: Clock = time.perf_counter,
) -> CostEstimate:
    """Expected wall time of `compare_speed`, from one call each at the smallest batch size.

    One untimed call comes first, for what happens only once. The estimate grows linearly with
    the batch size, which is too much where larger batches are more efficient.
    """
    stop, smallest = stop or Stop(), min(batch_sizes)
    images = make_input(smallest)
    with evaluating(*candidates.values()):
        calls = {k: _timer(f, images, precision, clock) for k, f in candidates.items()}
        once = {label: (call(), call())[1] for label, call in calls.items()}
    total = 0.0
    for size in batch_sizes:
        a_round = sum(once.values()) * size / smallest
        timed = min(max(stop.repeats * a_round, stop.min_seconds), stop.budget_seconds)
        total += warmup * a_round + max(timed, LEAST_ROUNDS * a_round)
    return CostEstimate(total, once, smallest)


def _timer(candidate: Candidate, images: Tensor, precision: str, clock: Clock):
    """A function that makes one call and returns its seconds."""

    def timed() -> float:
        start = clock()
        candidate(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        return clock() - start

    def call() -> float:
        with autocast(images.device, precision):
            return timed()

    return call


def _time_rounds(
    calls: Mapping[str, Callable[[], float]], stop: Stop, warmup: int, seed: int, clock: Clock
) -> tuple[dict[str, list[float]], str]:
    """Rounds of one call each, order rotating, until the rule says stop."""
    labels = list(calls)
    for _ in range(warmup):
        for label in labels:
            calls[label]()
    times: dict[str, list[float]] = {label: [] for label in labels}
    start = clock()
    for done in range(stop.max_rounds):
        turn = done % len(labels)
        for label in labels[turn:] + labels[:turn]:
            times[label].append(calls[label]())
        if reason := _reason_to_stop(times, done + 1, clock() - start, stop, seed):
            return times, reason
    return times, "rounds"


def _reason_to_stop(
    times: dict[str, list[float]], rounds: int, elapsed: float, stop: Stop, seed: int
) -> str | None:
    if elapsed >= stop.budget_seconds and rounds >= LEAST_ROUNDS:
        return "budget"
    if rounds < stop.repeats or elapsed < stop.min_seconds:
        return None
    if (rounds - stop.repeats) % _CHECK_EVERY:
        return None
    baseline, *others = times.values()
    paired = [np.divide(baseline, other) for other in others] or [np.array(baseline)]
    intervals = [bootstrap_median(x, seed, n=500) for x in paired]
    return "interval" if all(i.width < stop.width * i.value for i in intervals) else None


def _speedups(
    batch_size: int, times: dict[str, list[float]], flops: Mapping[str, float] | None, seed: int
) -> Iterator[Speedup]:
    (base, baseline), *others = times.items()
    for label, seconds in others:
        ratio = bootstrap_median(np.divide(baseline, seconds), seed, unit="×")
        ceiling = flops[base] / flops[label] if flops else None
        realised = ratio.value / ceiling if ceiling else None
        yield Speedup(label, batch_size, ratio, ceiling, realised)


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if n is not None:
            torch.set_num_threads(n)
        yield
    finally:
        torch.set_num_threads(before)
