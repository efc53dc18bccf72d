"""Finished cells as rows of right and wrong, and intervals of anything computed from accuracies.

A training-free row has one result; a re-trained row has one for each seed. An interval covers
both kinds of chance: the wider end counts, on each side, of a bootstrap over test images (all rows
resampled together, so what they share cancels) and Student's t over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.cells import SEEDS
from experiments.store import Result
from rmeeto.evaluation import Interval, mean_and_interval

Row = Sequence[np.ndarray]
"""(images,) 1.0 or 0.0 for each seed."""
_RESAMPLES, _SEED = 2000, 0


class MissingCellsError(Exception):
    """Cells that a question needs are not there."""

    def __init__(self, cells: Iterable[str]) -> None:
        self.cells = tuple(cells)
        super().__init__(", ".join(self.cells))


class UndecidableError(Exception):
    """The cells are there, but the question has no answer with them; says why."""


@dataclass(frozen=True)
class Evidence:
    """Finished cells by id."""

    results: Mapping[str, Result]

    def __post_init__(self) -> None:
        tests: dict[str, set[str]] = {}
        for result in self.results.values():
            tests.setdefault(result.cell.data, set()).add(result.data["test"])
        for data, found in tests.items():
            if len(found) > 1:
                raise ValueError(f"cells of {data} were measured on different test images: {found}")

    def cells(self, *ids: str) -> list[Result]:
        """These results, all of them, or `MissingCellsError`."""
        missing = [i for i in ids if i not in self.results]
        if missing:
            raise MissingCellsError(missing)
        return [self.results[i] for i in ids]

    def free(self, host: str, label: str) -> Row:
        """Training-free row."""
        return [r.right for r in self.cells(f"{host}/free/{label}")]

    def tuned(self, host: str, label: str, seeds: Sequence[int] = SEEDS) -> Row:
        """Re-trained row, every seed of it."""
        return [r.right for r in self.runs(host, label, seeds)]

    def runs(self, host: str, label: str, seeds: Sequence[int] = SEEDS) -> list[Result]:
        """Results of a re-trained row."""
        return self.cells(*(f"{host}/tune/{label}/seed{s}" for s in seeds))

    def has(self, cell: str) -> bool:
        """Whether the cell is finished."""
        return cell in self.results


def mean(row: Row) -> float:
    """Accuracy of a row in percent, over images and seeds."""
    return 100 * float(np.mean(row))


def measure(statistic: Callable[..., np.ndarray], *rows: Row, unit: str = "pt") -> Interval:
    """A function of the rows' accuracies (percent), with its 95 % interval.

    Args:
        statistic: accuracies (floats or arrays of equal length, one a row) → values, elementwise.
        rows: paired over the same test images; rows of several seeds pair by seed.
        unit: of the result.
    """
    images = np.stack([np.mean(row, axis=0) for row in rows], axis=1)
    value = float(statistic(*(100 * images.mean(axis=0))))
    low, high = np.quantile(statistic(*(100 * _resampled(images)).T), [0.025, 0.975])
    seeds = min((len(row) for row in rows if len(row) > 1), default=1)
    if seeds > 1:
        by_seed = [float(statistic(*(_one(row, s) for row in rows))) for s in range(seeds)]
        spread = mean_and_interval(by_seed, unit=unit)
        low, high = min(low, spread.low), max(high, spread.high)
    return Interval(value, float(low), float(high), unit)


def _one(row: Row, seed: int) -> float:
    return 100 * float(np.mean(row[seed] if len(row) > 1 else row[0]))


def _resampled(images: np.ndarray) -> np.ndarray:
    """(n, rows) values → (resamples, rows) means; images of equal values are drawn by count."""
    distinct, counts = np.unique(images, axis=0, return_counts=True)
    rng = np.random.default_rng(_SEED)
    draws = rng.multinomial(len(images), counts / len(images), size=_RESAMPLES)
    return draws @ distinct / len(images)


def difference(a: Row, b: Row) -> Interval:
    """Accuracy of ``a`` minus that of ``b``, in points."""
    return measure(lambda x, y: x - y, a, b)
