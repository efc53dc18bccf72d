"""Sentences that findings share."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.evidence import Evidence, Row, mean
from rmeeto.evaluation import Interval

LITTLE = 1.0
"""Points of accuracy below which there is hardly anything to compare."""


def levels(rows: Mapping[str, Row]) -> str:
    """ "unreduced 90.6, r = 5 90.1"."""
    return ", ".join(f"{name} {mean(row):.1f}" for name, row in rows.items())


def seeds(row: Row) -> str:
    """How many re-trainings stand behind a row."""
    return f"{len(row)} seeds" if len(row) > 1 else "one seed"


def little_to_tell_apart(evidence: Evidence, host: str, label: str) -> str:
    """The usual reason why a comparison shows nothing: the reduction hardly costs anything."""
    lost = mean(evidence.free(host, "r0")) - mean(evidence.free(host, label))
    if lost >= LITTLE:
        return f"The reduction itself costs {lost:.1f} points here, so there was room for an effect"
    return f"The reduction itself costs {lost:.1f} points here, which leaves hardly any room for an effect"


def rounded(interval: Interval) -> list[float]:
    """Value, low, high for the details."""
    return [round(x, 3) for x in (interval.value, interval.low, interval.high)]
