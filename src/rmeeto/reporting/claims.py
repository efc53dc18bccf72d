"""Claims with their evidence: one JSON file, one Markdown table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..config import from_dict, to_dict
from ..errors import ConfigError
from ..storage import write_atomic
from .numbers import number
from .record import plain, read_json

VERSION = 1


@dataclass(frozen=True)
class Claim:
    """One thing that is said of R-MeeTo, and what measuring it gave.

    Args:
        id: short key, unique in its file ("order-matters").
        claim: the sentence that is checked.
        source: where it is said (paper, table; or "ours").
        command: what to run to measure it again.
        threshold: when it counts as true, in words ("at least 70 % of the loss recovered").
        measured: the number that decides, in ``unit``; None where nothing was measured.
        low, high: its 95 % interval.
        explanation: what is behind the number, or why there is none.
        details: further numbers, by name.
    """

    id: str
    claim: str
    source: str
    command: str
    threshold: str
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    verdict: Literal["holds", "fails", "not verified"] = "not verified"
    explanation: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def save_claims(claims: Sequence[Claim], path: str | Path) -> Path:
    """Write the claims as JSON; two of one id are a `ConfigError`."""
    _check_ids(claims, path)
    values = {"version": VERSION, "claims": [plain(to_dict(c)) for c in claims]}
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False, default=str)
    write_atomic(Path(path), text + "\n")
    return Path(path)


def load_claims(path: str | Path) -> list[Claim]:
    """Read claims; an unknown key, a wrong type or a newer version is a `ConfigError`."""
    asked = "claims (JSON written by rmeeto)"
    values = read_json(path, asked)
    if not isinstance(values, dict) or not isinstance(values.get("claims"), list):
        raise ConfigError(asked, str(path), "it holds no list of claims; look for claims.json")
    if values.get("version") != VERSION:
        reason = f"this rmeeto reads version {VERSION}; upgrade it"
        raise ConfigError(asked, f"{path}, version {values.get('version')}", reason)
    claims = [
        from_dict(Claim, _table(entry, path), f"claims[{i}].")
        for i, entry in enumerate(values["claims"])
    ]
    _check_ids(claims, path)
    return claims


def claims_markdown(claims: Sequence[Claim]) -> str:
    """The claims as a Markdown table, verdict first, then each one's explanation and command."""
    lines = ["| | Claim | Source | Holds if | Measured |", "|---|---|---|---|---|"]
    for c in claims:
        cells = (f"**{c.verdict}**", c.claim, c.source, c.threshold, measured(c))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for c in claims:
        lines += ["", f"**{_cell(c.claim)}**: {c.verdict}."]
        lines += [_cell(c.explanation)] * bool(c.explanation)
        lines += [f"Measure it again: {_code(c.command)}"] * bool(c.command)
    return "\n".join(lines) + "\n"


def measured(claim: Claim) -> str:
    """The deciding number with unit and interval, or a dash."""
    if claim.measured is None:
        return "–"
    text = f"{number(claim.measured)} {claim.unit}".rstrip()
    if claim.low is None or claim.high is None:
        return text
    return f"{text} ({number(claim.low)} to {number(claim.high)})"


def _check_ids(claims: Sequence[Claim], path: str | Path) -> None:
    ids = [c.id for c in claims]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ConfigError("claims with an id each", f"{path}, {twice}", "rename one of the two")


def _table(entry: Any, path: str | Path) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ConfigError("a claim", f"{entry!r} in {path}", "each claim is a table of its fields")
    return entry


def _cell(text: str) -> str:
    """Text that can't break out of a table cell or become markup."""
    safe = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return safe.replace("|", "\\|")


def _code(command: str) -> str:
    text = " ".join(command.split())
    return f"`` {text} ``" if "`" in text else f"`{text}`"
