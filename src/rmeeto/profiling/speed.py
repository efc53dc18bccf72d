"""Records of a speed comparison: when to stop, times, ratios, and the cost told beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..evaluation.intervals import Interval

LEAST_ROUNDS = 3
"""Fewer rounds make no interval, whatever the budget."""


@dataclass(frozen=True)
class Stop:
    """When a batch size has been timed enough.

    Args:
        repeats: rounds at the least.
        min_seconds: timed seconds at the least.
        width: stop once every ratio's interval is narrower than this share of the ratio.
        budget_seconds: stop after this long per batch size (but after three rounds at least).
        max_rounds: rounds at the most.
    """

    repeats: int = 10
    min_seconds: float = 0.5
    width: float = 0.03
    budget_seconds: float = 30.0
    max_rounds: int = 1000

    def __post_init__(self) -> None:
        if self.repeats < LEAST_ROUNDS or self.max_rounds < self.repeats:
            raise ConfigError(
                f"{LEAST_ROUNDS} ≤ repeats ≤ max_rounds",
                f"{self.repeats}, {self.max_rounds}",
                "fewer rounds make no interval; repeats=10 is a good start",
            )


@dataclass(frozen=True)
class Timing:
    """Time of one call of one candidate: median and percentiles over rounds, in seconds."""

    label: str
    batch_size: int
    median: float
    p5: float
    p20: float
    p80: float
    p95: float
    images_per_second: float
    rounds: int
    seconds: tuple[float, ...] = field(repr=False)

    @classmethod
    def of(cls, label: str, batch_size: int, seconds: Sequence[float]) -> Timing:
        """Summarise one candidate's times."""
        p5, p20, median, p80, p95 = (float(x) for x in np.percentile(seconds, (5, 20, 50, 80, 95)))
        speed = batch_size / median
        rounds = len(seconds)
        return cls(label, batch_size, median, p5, p20, p80, p95, speed, rounds, tuple(seconds))


@dataclass(frozen=True)
class Speedup:
    """How many times faster than the baseline one candidate is.

    Args:
        label, batch_size: what was timed.
        ratio: median of baseline time / candidate time within a round; above 1 is faster.
        ceiling: baseline FLOPs / candidate FLOPs, the ratio if time followed FLOPs.
        realised: ratio / ceiling; 1 means that all saved FLOPs became time.
    """

    label: str
    batch_size: int
    ratio: Interval
    ceiling: float | None = None
    realised: float | None = None


@dataclass(frozen=True)
class CostEstimate:
    """What a comparison will take, from one timed call of each candidate.

    Args:
        seconds: expected wall time, linear in the batch size, cut off by the budget.
        call_seconds: the timed call of each candidate, at ``batch_size``.
        batch_size: batch size of those calls, the smallest.
    """

    seconds: float
    call_seconds: dict[str, float]
    batch_size: int

    def __str__(self) -> str:
        return f"about {self.seconds:.0f} s (from one call each at batch {self.batch_size})"


@dataclass(frozen=True)
class SpeedResult:
    """Everything `compare_speed` measured, and on what.

    Args:
        baseline: label of the first candidate, what ratios are relative to.
        timings: one per candidate and batch size; speedups: one per candidate after the first.
        stopped: why each batch size ended: "interval", "budget" or "rounds".
        precision, input, stop, seed: how it was run.
        clock: what times are: "perf_counter" is wall time, "process_time" the processors' time.
        estimate: cost announced beforehand; seconds: wall time it took.
        machine: `describe_machine()` at the start; load_after: load averages at the end.
    """

    baseline: str
    timings: tuple[Timing, ...]
    speedups: tuple[Speedup, ...]
    stopped: dict[int, str]
    precision: str
    input: str
    stop: Stop
    seed: int
    clock: str
    estimate: CostEstimate
    seconds: float
    machine: dict[str, Any]
    load_after: list[float]
