"""A claim as a question: what is measured, when it holds (fixed beforehand), and what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.evidence import Evidence, MissingCellsError, UndecidableError
from rmeeto.evaluation import Interval
from rmeeto.reporting import Claim


@dataclass(frozen=True)
class Region:
    """Values for which a claim is true: above ``low`` and below ``high``."""

    low: float = -math.inf
    high: float = math.inf

    def judge(self, found: Interval) -> Literal["inside", "outside", "across"]:
        """Where the whole interval lies."""
        if self.low < found.low and found.high < self.high:
            return "inside"
        return "outside" if found.high <= self.low or found.low >= self.high else "across"


@dataclass(frozen=True)
class Finding:
    """What measuring gave.

    Args:
        value: the deciding number; None where no setting qualified, which fails the claim.
        facts: the accuracies or times behind it, in a sentence.
        cause: why it may have come out so, taken from the data; shown if the claim fails.
        details: further numbers by name.
    """

    value: Interval | None
    facts: str
    cause: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """One claim and its test.

    Args:
        threshold: ``region`` in words, with the reason for it.
        only: prefixes of the cells that the command runs.
        find: evidence → finding; raises `MissingCellsError`. None: can't be tested here, ``elsewhere`` says
            why and ``command`` what would.
    """

    id: str
    claim: str
    source: str
    threshold: str
    region: Region = Region()
    only: tuple[str, ...] = ()
    find: Callable[[Evidence], Finding] | None = None
    command: str = ""
    elsewhere: str = ""

    def answer(self, evidence: Evidence, notes: Mapping[str, str]) -> Claim:
        """The claim with its verdict; ``notes`` are explanations written after looking."""
        said: dict[str, Any] = {"id": self.id, "claim": self.claim, "source": self.source}
        said |= {"threshold": self.threshold, "command": self._command()}
        note = notes.get(self.id, "")
        if self.find is None:
            return Claim(**said, explanation=_sentences(self.elsewhere, note))
        try:
            found = self.find(evidence)
        except MissingCellsError as e:
            shown = ", ".join(e.cells[:3]) + (", …" if len(e.cells) > 3 else "")
            return Claim(**said, explanation=_sentences(f"Not measured yet: {shown}", note))
        except UndecidableError as e:
            return Claim(**said, explanation=_sentences(str(e), note))
        return _judged(said, self.region, found, note)

    def _command(self) -> str:
        if self.command:
            return self.command
        if not self.only:
            return "" if self.elsewhere else "python experiments/claims.py"
        return f"python experiments/run.py --only {' '.join(self.only)} && python experiments/claims.py"


def _judged(said: dict[str, Any], region: Region, found: Finding, note: str) -> Claim:
    if found.value is None:
        why = _sentences(found.facts, found.cause, note)
        return Claim(**said, verdict="fails", explanation=why, details=found.details)
    judged = region.judge(found.value)
    why = [found.facts]
    if judged == "outside":
        why += ["The whole interval is on the wrong side", found.cause]
    elif judged == "across":
        why += ["The interval holds the threshold: neither shown nor refuted", found.cause]
    numbers = {k: round(getattr(found.value, k), 3) for k in ("value", "low", "high")}
    return Claim(
        **said, measured=numbers["value"], low=numbers["low"], high=numbers["high"],
        unit={"pt": "points"}.get(found.value.unit, found.value.unit),
        verdict="holds" if judged == "inside" else "fails",
        explanation=_sentences(*why, note), details=found.details,
    )  # fmt: skip


def _sentences(*parts: str) -> str:
    return " ".join(p if p.endswith((".", "!", "?")) else f"{p}." for p in parts if p)
