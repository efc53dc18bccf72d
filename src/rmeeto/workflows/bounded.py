"""The largest r of a sweep whose lost accuracy is bounded, whatever the images are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..evaluation import RatioChoice, accuracy_gap_bound, choose_ratio
from ..reporting import Table, Verdict
from ..reporting.numbers import number
from .options import SweepOptions


@dataclass(frozen=True, eq=False)
class Cell:
    """One reduced model of a sweep."""

    r: int
    kept: float
    """Tokens kept, mean over blocks, as a share in (0, 1]."""
    right: NDArray[np.bool_]
    """(n,) whether each image is classified correctly."""


@dataclass(frozen=True)
class Choice:
    """The largest r of one method that is shown to lose less than was allowed."""

    method: str
    r: int
    """0 where none is."""
    rows: tuple[tuple[object, ...], ...]
    """Of the table: method, r, tokens kept, points lost, their bound, whether it is within."""


def check(options: SweepOptions) -> None:
    """Refuse settings of the bound that mean nothing.

    Raises:
        ConfigError: a drop of 0 or over 100 points, a confidence out of (0, 1), or no drop for it.
    """
    drop, confidence = options.max_drop, options.confidence
    if drop is None and confidence != SweepOptions().confidence:
        reason = "it belongs to --max-drop; add that"
        raise ConfigError("--confidence", str(confidence), reason)
    if drop is not None and not 0 < drop < 100:
        reason = "it is in percentage points of accuracy; 1 is the usual one"
        raise ConfigError("--max-drop above 0 and below 100", str(drop), reason)
    if not 0 < confidence < 1:
        reason = "it is a probability; 0.95 is the usual one"
        raise ConfigError("--confidence between 0 and 1", str(confidence), reason)


def check_images(options: SweepOptions, images: int) -> None:
    """Refuse a drop that so few images can't show, even if no answer is lost.

    Raises:
        ConfigError: with the smallest drop that they could show.
    """
    if options.max_drop is None:
        return
    nothing_lost = np.ones(images, bool)
    least = 100 * accuracy_gap_bound(nothing_lost, nothing_lost, _delta(options))
    if least >= options.max_drop:
        given = f"{images} images"
        reason = (
            f"in percentage points; with so few no bound is below {least:.2g}, even if nothing is lost: "
            f"give more images, or --max-drop {1.5 * least:.2g}"
        )
        raise ConfigError(f"--max-drop {options.max_drop:g}", given, reason)


def _delta(options: SweepOptions) -> float:
    """The probability of being wrong that each method may use, so that all hold together."""
    return (1 - options.confidence) / len(set(options.methods))


def choose(
    options: SweepOptions, full: NDArray[np.bool_], cells: Mapping[str, list[Cell]]
) -> list[Choice]:
    """For each method the largest r that passes, tested from the smallest on until one fails.

    Args:
        full: (n,) whether the unreduced model is right; images that chose nothing else.
        cells: by method; those of r = 0 lose nothing and are left out.
    """
    assert options.max_drop is not None
    found = []
    for method, own in cells.items():
        reduced = {cell.kept: cell for cell in own if cell.r > 0}
        if not reduced:
            continue
        answers = {kept: cell.right for kept, cell in reduced.items()}
        chosen = choose_ratio(full, answers, options.max_drop / 100, _delta(options))
        r = 0 if chosen.ratio is None else reduced[chosen.ratio].r
        found.append(Choice(method, r, _rows(method, reduced, chosen)))
    return found


def _rows(
    method: str, cells: Mapping[float, Cell], chosen: RatioChoice
) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (
            method,
            cells[t.ratio].r,
            100 * t.ratio,
            100 * t.gap,
            100 * t.bound,
            "yes" if t.passed else "no",
        )
        for t in chosen.tested
    )


def table(options: SweepOptions, choices: list[Choice]) -> Table:
    """What was tested, method by method."""
    note = (
        f"Upper bounds on the accuracy lost by images like these, in points; Clopper–Pearson limits, no assumption but "
        f"independent images. r is tested from the smallest on, until one fails. With {100 * options.confidence:g} % "
        "confidence for all methods together."
    )
    columns = ("method", "r", "tokens kept %", "lost", "at most", f"below {options.max_drop:g}")
    rows = tuple(row for choice in choices for row in choice.rows)
    return Table(
        f"Bound on the accuracy lost (--max-drop {options.max_drop:g})", columns, rows, note
    )


def verdicts(options: SweepOptions, choices: list[Choice]) -> list[Verdict]:
    """One a method: the largest r, or that there is none."""
    return [
        Verdict(
            f"{c.method} loses less than {options.max_drop:g} points with {100 * options.confidence:g} % confidence",
            "holds" if c.r else "not verified",
            f"up to r = {c.r}"
            if c.r
            else f"not even at r = {c.rows[0][1]} (at most {number(_last(c), 2)})",
        )
        for c in choices
    ]


def headline(options: SweepOptions, choices: list[Choice]) -> str:
    """The largest r of each method in a sentence; "" where no bound was asked for."""
    if not choices:
        return ""
    told = ", ".join(f"{c.r or 'none'} for {c.method}" for c in choices)
    confidence = f"{100 * options.confidence:g} % confidence"
    return f"Largest r that loses less than {options.max_drop:g} points, with {confidence}: {told}."


def _last(choice: Choice) -> float:
    bound = choice.rows[-1][4]
    assert isinstance(bound, float)
    return bound
