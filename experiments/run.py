"""Run the experiments, cell by cell; whatever is finished is kept, so run it as often as you like.

    python experiments/run.py                       # all missing cells, most decisive first
    python experiments/run.py --list                # what is there, what is missing, what it costs
    python experiments/run.py --only fashion/vim_w64/free --minutes 30
    python experiments/run.py --smoke FOLDER        # every cell on a toy, to test the code

Start it twice for two cores: the processes share the work.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from experiments import environment

if __name__ == "__main__":
    environment.settle()  # before torch is loaded

from experiments.cells import Cell
from experiments.cost import estimate, hours
from experiments.execute import execute
from experiments.grid import all_cells
from experiments.lab import Lab, smoke_lab
from experiments.store import Result, claimed, state


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or list the cells that the arguments choose."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="PREFIX",
        help="cells that begin with one of these",
    )
    parser.add_argument("--list", action="store_true", help="show states and expected costs")
    parser.add_argument("--minutes", type=float, help="start no cell that would end after this")
    parser.add_argument("--smoke", type=Path, metavar="FOLDER", help="tiny models and images there")
    given = parser.parse_args(arguments)
    lab = smoke_lab(given.smoke) if given.smoke else Lab()
    cells = [cell for cell in all_cells() if cell.id.startswith(tuple(given.only))]
    if not cells:
        say(f"no cell begins with {' or '.join(given.only)}; --list shows all of them")
        return 1
    if given.list:
        show(cells, lab)
    else:
        run(cells, lab, given.minutes)
    return 0


def show(cells: Sequence[Cell], lab: Lab) -> None:
    """Every cell's state and expected cost, and the sum of what is left."""
    for cell in cells:
        say(f"{state(cell, lab):>12}  {estimate(cell, lab) / 60:6.1f} min  {cell.id}")
    total = sum(estimate(cell, lab) for cell in cells)
    left = sum(estimate(cell, lab) for cell in cells if state(cell, lab) != "done")
    say(f"{len(cells)} cells, {hours(total)} on one core, {hours(total / 2)} on two; "
        f"left to do: {hours(left)} on one core, {hours(left / 2)} on two")  # fmt: skip


def run(cells: Sequence[Cell], lab: Lab, minutes: float | None = None) -> None:
    """Execute the missing and the stale cells in order."""
    todo, began = list(_todo(cells, lab)), time.monotonic()
    plan = {cell.id: estimate(cell, lab) for cell in todo}
    say(f"{len(todo)} of {len(cells)} cells to run, about {hours(sum(plan.values()))} on this core")
    pace = Pace(plan)
    for cell in todo:
        expected = pace.expected(cell.id)
        if minutes is not None and time.monotonic() - began + expected > 60 * minutes:
            say(f"left for later, no time: {cell.id} (about {hours(expected)})")
            continue
        with claimed(lab.runs / "cells" / f"{cell.id}.lock") as mine:
            if not mine:
                say(f"another process is at {cell.id}")
            if not mine or state(cell, lab) == "done":  # the other one may have been faster
                pace.drop(cell.id)
                continue
            say(f"{_clock()} {cell.id}, about {hours(expected)}; all: {hours(pace.left())} left")
            say(f"  {_summary(execute(cell, lab, say))}")
            pace.done(cell.id)


def _todo(cells: Sequence[Cell], lab: Lab):
    missing: set[str] = set()
    for cell in cells:
        found = state(cell, lab)
        if found == "no reference" and cell.reference not in missing:
            missing.add(cell.reference)
            say(f"skipped: {cell.reference} has no checkpoint yet; "
                f"python experiments/references.py --only {cell.reference}")  # fmt: skip
        if found == "stale":
            say(f"stale, runs again (its reference or settings changed): {cell.id}")
        if found in ("missing", "stale"):
            yield cell


class Pace:
    """Expected times, corrected by how long the cells so far really took.

    Args:
        plan: cell → estimated seconds.
    """

    def __init__(self, plan: dict[str, float]) -> None:
        self._plan, self._open = plan, dict(plan)
        self._began, self._estimated = time.monotonic(), 0.0

    @property
    def _factor(self) -> float:
        taken = time.monotonic() - self._began
        return taken / self._estimated if self._estimated > 60 else 1.0

    def expected(self, cell: str) -> float:
        """Seconds that ``cell`` will take."""
        return self._plan[cell] * self._factor

    def left(self) -> float:
        """Seconds to the end, if this process does the rest alone."""
        return sum(self._open.values()) * self._factor

    def done(self, cell: str) -> None:
        """Note that ``cell`` is finished."""
        self._estimated += self._open.pop(cell)

    def drop(self, cell: str) -> None:
        """Note that ``cell`` is another process's, which says nothing of this one's pace."""
        del self._open[cell]


def _summary(result: Result) -> str:
    took = f"{result.minutes:.1f} min"
    if result.accuracy is not None:
        return f"top-1 {result.accuracy} in {took}"
    ratios = (f"{s['ratio']['value']:.2f}× at {s['batch_size']}" for s in result.speed["speedups"])
    return f"{', '.join(ratios)} in {took}"


def _clock() -> str:
    return datetime.now().strftime("%H:%M")


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
