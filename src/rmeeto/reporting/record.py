"""`RunRecord`: what one command did and measured, as JSON that can be read back."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from ..config import from_dict, to_dict
from ..errors import ConfigError, unknown_name
from ..storage import write_atomic

VERSION = 1


class _Frozen:
    """Lists handed to a frozen record become tuples, so that equal records compare equal."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, (list, tuple)):
                object.__setattr__(self, f.name, _tuples(value))


@dataclass(frozen=True)
class Metric:
    """One measured number.

    Args:
        name: short key; the ones that reports know by name are in `measures.MEASURES`, and
            ``name@32`` is the measure ``name`` at batch 32.
        value: in ``unit`` (percentages run to 100); not a number or infinite becomes None.
        direction: which way is better.
        low, high: interval, same unit; 95 % unless the note says otherwise.
        note: a sentence on how it was measured.
        group: the stage ("baseline", "reduced", "retrained"), or any other heading.
    """

    name: str
    value: float | None = None
    unit: str = ""
    direction: Literal["higher", "lower"] = "higher"
    low: float | None = None
    high: float | None = None
    note: str | None = None
    group: str = ""

    def __post_init__(self) -> None:
        for key in ("value", "low", "high"):
            object.__setattr__(self, key, _number(getattr(self, key)))


@dataclass(frozen=True)
class Table(_Frozen):
    """A titled table of plain values; every row has one value for each column.

    Args:
        folded: for looking things up: left out in the terminal, folded in the report.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    note: str | None = None
    folded: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for row in self.rows:
            if len(row) != len(self.columns):
                asked = f"table {self.title!r} with {len(self.columns)} columns"
                raise ConfigError(asked, f"a row of {len(row)}", "give one value for each column")


@dataclass(frozen=True)
class Point:
    """One point of a chart, with its interval along y and a short label ("r = 11")."""

    x: float
    y: float | None = None
    low: float | None = None
    high: float | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        for key in ("x", "y", "low", "high"):
            object.__setattr__(self, key, _number(getattr(self, key)))
        if self.x is None:
            raise ConfigError("a point with a finite x", "none", "leave the point out")


@dataclass(frozen=True)
class Series(_Frozen):
    """One line, cloud or set of bars; series of the same ``group`` share a chart of that title.

    Args:
        points: `Point` or tuples ``(x, y[, low, high[, label]])``.
    """

    name: str
    x_label: str
    y_label: str
    points: tuple[Point, ...] = ()
    kind: Literal["line", "scatter", "bar"] = "line"
    group: str = ""

    def __post_init__(self) -> None:
        points = tuple(p if isinstance(p, Point) else Point(*plain(p)) for p in self.points)
        object.__setattr__(self, "points", points)


@dataclass(frozen=True)
class LayerTokens(_Frozen):
    """The tokens that each block saw, for one stage ("baseline", "reduced", …)."""

    name: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class MergeView(_Frozen):
    """Where each patch of a picture has gone by one point of the network.

    Args:
        label: the point ("after block 12").
        source: current slot of each patch in raster order, −1 where the patch was dropped.
    """

    label: str
    source: tuple[int, ...]


@dataclass(frozen=True)
class MergePicture(_Frozen):
    """An image and which of its patches merged; `figures.merge_picture` builds one from arrays.

    Args:
        image: PNG, base64.
        grid: patches down and across.
    """

    title: str
    image: str
    grid: tuple[int, ...]
    views: tuple[MergeView, ...] = ()
    caption: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.grid) != 2:
            raise ConfigError("a picture's grid", str(self.grid), "give (patches down, across)")
        wanted = self.grid[0] * self.grid[1]
        for view in self.views:
            if len(view.source) != wanted:
                asked = f"a slot for each of the {wanted} patches of {self.title!r}"
                raise ConfigError(asked, f"{len(view.source)} slots", "leave out the class token")


@dataclass(frozen=True)
class Verdict:
    """What came of one thing that the command was asked to check."""

    name: str
    verdict: Literal["holds", "fails", "not verified"]
    detail: str = ""


@dataclass(frozen=True)
class RunRecord(_Frozen):
    """The typed result of any command.

    Args:
        created: ISO 8601 time, with its zone.
        fingerprint: of configuration and data, so that two runs can be told to be the same.
        metrics: see `Metric`; `measures.before_after` lays the three stages side by side.
        history: training curves: lines of a training log, or dicts with "epoch" or "step" and
            any of "…loss", "…top1" (percent), ….
        timings: seconds; "retrain" is the one that the headline speaks of.
        skipped: what was left out and why: source or reason → names or a count.
        headline: plain words to use in place of the composed sentence.
    """

    command: str
    created: str = ""
    code_version: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    tables: tuple[Table, ...] = ()
    series: tuple[Series, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    tokens_per_layer: tuple[LayerTokens, ...] = ()
    pictures: tuple[MergePicture, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    headline: str | None = None
    version: int = VERSION

    def metric(self, name: str, group: str | None = None) -> Metric:
        """The metric called ``name``; ``group`` is needed where several stages have one.

        Raises:
            UnknownNameError: there is none of that name.
            ConfigError: there are several and no ``group`` was given.
        """
        found = [m for m in self.metrics if m.name == name and group in (None, m.group)]
        if not found:
            raise unknown_name("metric", name, {m.name for m in self.metrics})
        groups = [m.group for m in found]
        if len(set(groups)) > 1:
            raise ConfigError(f"the metric {name!r}", "no group", f"choose one of {groups}")
        return found[-1]

    def to_json(self) -> str:
        """The record as JSON text, one line for each list of numbers."""
        values = plain(to_dict(self))
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False, default=str)
        return _NUMBERS.sub(lambda match: " ".join(match.group().split()), text) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the record as JSON; the file is whole or absent."""
        write_atomic(Path(path), self.to_json())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a record; an unknown key, a wrong type or a newer version is a `ConfigError`."""
        asked = "a run record (JSON written by rmeeto)"
        values = read_json(path, asked)
        if not isinstance(values, dict) or "command" not in values:
            raise ConfigError(asked, str(path), "it holds no run; look for the run's record.json")
        version = values.get("version")
        if not isinstance(version, int) or not 1 <= version <= VERSION:
            reason = f"this rmeeto reads versions up to {VERSION}; upgrade it"
            raise ConfigError(asked, f"{path}, version {version}", reason)
        return from_dict(cls, values)


# A list of numbers that json spread over lines; strings hold no raw line breaks, so none can match.
_NUMBERS = re.compile(r"\[\n[\s\d.,eE+-]+\]")


def read_json(path: str | Path, asked: str) -> Any:
    """Parse strict JSON (no NaN); every failure is a `ConfigError` that says what was ``asked``."""
    try:
        return json.loads(Path(path).read_text("utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError(asked, str(path), f"{e}; check the path, or run the command again") from e


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _number(value: Any) -> float | None:
    value = plain(value)
    return None if value is None else float(value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """NumPy values as Python's; not-a-number and infinity as None; None left out of dicts."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        known = ((str(key), plain(v)) for key, v in value.items())
        return {key: v for key, v in known if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
