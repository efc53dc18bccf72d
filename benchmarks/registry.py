"""What a benchmark is: candidates that do the same work, how much work it is, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from .limits import MachineLimits

Work = Callable[[], Any]


@dataclass(frozen=True)
class Limit:
    """The least time that a candidate's work can take on this machine.

    Args:
        name: what bounds it.
        seconds: of one call, on one thread.
        derivation: how the number comes about, for the reader of the results.
    """

    name: str
    seconds: float
    derivation: str


def no_limits(_: MachineLimits) -> list[Limit]:
    """For work without a derived bound."""
    return []


@dataclass(frozen=True)
class Case:
    """A benchmark that is set up.

    Args:
        candidates: label → one call of the work; the first one is the baseline of all ratios.
            Empty for a benchmark that only has ``facts``.
        ours: label of the candidate that ``limits`` are for.
        units: pieces of work in one call. unit: what they are ("images", "states", …).
        limits: machine limits → bounds of ours; only asked for with one thread.
        error: largest disagreement of the candidates, relative; above ``tolerance`` nothing is timed.
        skipped: candidates that can't run here, and why.
        ceilings: label → ratio to the baseline if time followed the count of operations.
        facts: further numbers for the record.
    """

    candidates: Mapping[str, Work]
    ours: str
    units: float
    unit: str
    limits: Callable[[MachineLimits], list[Limit]] = no_limits
    error: Callable[[], float] | None = None
    tolerance: float = 1e-4
    skipped: Mapping[str, str] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """One line of the registry.

    Args:
        name: "group/what/size/type".
        setup: builds the case, with ``threads`` torch threads.
        seconds: expected wall time with setting up, on two quiet cores; timing stops by then.
        threads: torch threads; 1 is timed in processor time, more in wall time.
        quick: part of ``--quick``.
    """

    name: str
    setup: Callable[[], Case]
    seconds: float
    threads: int = 1
    quick: bool = False

    @property
    def group(self) -> str:
        """First part of the name."""
        return self.name.split("/", 1)[0]


GROUPS = (
    "scan", "conv_norm", "linear", "mixer", "merge", "parts", "models", "reduced", "training", "memory",
    "processes", "threads",
)  # fmt: skip
"""Modules of this package, cheap ones first; "threads" changes the process and is the last."""


def all_benchmarks(lenient: bool = False) -> list[Benchmark]:
    """Every benchmark; with ``lenient`` without the groups that need what an older rmeeto lacks."""
    found: list[Benchmark] = []
    for group in GROUPS:
        try:
            module = import_module(f".{group}", __package__)
        except ImportError as error:
            if not lenient:
                raise
            print(f"left out: {group} ({error})")
            continue
        found += module.benchmarks()
    return found
