"""How far a run is, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

from .recipe import Recipe


@dataclass(frozen=True)
class LearningRate:
    """Linear warm-up times cosine: ``lr = floor + (peak − floor) · ramp · ½(1 + cos πf)``.

    ``f`` is the share of the run that is over when the step starts, so the first step after the
    warm-up has the peak and the last of T steps has f = 1 − 1/T.

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5, one cycle.
    """

    peak: float
    floor: float
    warmup: float = 0.0

    def __call__(self, step: int, fraction: float) -> float:
        """Learning rate of step ``step`` (from 0), which starts at ``fraction`` in [0, 1]."""
        ramp = 1.0
        if self.warmup >= 1:
            ramp = min(1.0, (step + 1) / self.warmup)
        elif self.warmup > 0:
            ramp = min(1.0, fraction / self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        return self.floor + (self.peak - self.floor) * ramp * cosine


def step_limit(recipe: Recipe, steps_per_epoch: int) -> int | None:
    """Optimiser steps that ``recipe`` allows, or None when only the clock bounds it."""
    limits = [] if recipe.max_steps is None else [recipe.max_steps]
    if recipe.epochs is not None:
        limits.append(max(1, round(recipe.epochs * steps_per_epoch)))
    return min(limits, default=None)


class Budget:
    """The bound of a run in steps, in seconds, or both; re-planned from the speed it measures.

    Args:
        steps: most optimiser steps, or None.
        seconds: most wall time, validation and checkpoints included, or None.
        elapsed: seconds spent before (a resumed run).
    """

    def __init__(self, steps: int | None, seconds: float | None, elapsed: float = 0.0) -> None:
        self.steps, self.seconds = steps, seconds
        self.reserve = 0.0  # seconds kept for the last validation and checkpoint
        self.elapsed = elapsed  # as of the last `tick`; all decisions use this one value
        self._origin = perf_counter() - elapsed
        self._first: tuple[int, float] | None = None  # after this process's first step
        self.seconds_per_step = 0.0
        self._fraction = 0.0

    def clock(self) -> float:
        """Seconds since the run began, pauses between processes left out."""
        return perf_counter() - self._origin

    def tick(self, step: int, elapsed: float) -> None:
        """Note that ``step`` steps are done after ``elapsed`` seconds."""
        if self._first is None:
            self._first, self.seconds_per_step = (step, elapsed), elapsed - self.elapsed
        elif step > self._first[0]:
            self.seconds_per_step = (elapsed - self._first[1]) / (step - self._first[0])
        self.elapsed = elapsed

    @property
    def deadline(self) -> float:
        """When training must end for validation and checkpoint to fit, in seconds."""
        return math.inf if self.seconds is None else max(self.seconds - self.reserve, 1e-9)

    def fraction(self, step: int) -> float:
        """Share of the run that is over, in [0, 1]; never falls, even when the plan changes."""
        by_step = step / self.steps if self.steps else 0.0
        self._fraction = min(1.0, max(self._fraction, by_step, self.elapsed / self.deadline))
        return self._fraction

    def planned(self, step: int) -> int | None:
        """Optimiser steps that the whole run will have at the measured speed."""
        if self.seconds is None:
            return self.steps
        if self.seconds_per_step <= 0:
            return self.steps
        left = int(max(0.0, self.deadline - self.elapsed) / self.seconds_per_step)
        return step + left if self.steps is None else min(self.steps, step + left)

    def seconds_left(self, step: int) -> float | None:
        """Expected seconds to the end, or None before the speed is known."""
        planned = self.planned(step)
        if planned is None or self._first is None:
            return None
        return max(0, planned - step) * self.seconds_per_step + self.reserve

    def stop(self, step: int) -> str | None:
        """``"steps"`` or ``"minutes"`` when the run must end now, else None; at least one step."""
        if self.steps is not None and step >= self.steps:
            return "steps"
        late = self.elapsed + self.seconds_per_step > self.deadline
        return "minutes" if step > 0 and late else None
