"""Results of cells as JSON files: written whole, read back, known to be current or stale."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.cells import Cell
from experiments.lab import Lab
from rmeeto.config import fingerprint, from_dict, to_dict
from rmeeto.evaluation import Interval
from rmeeto.retrain import Recipe, preset
from rmeeto.storage import write_atomic

FORMAT = 1
State = Literal["done", "missing", "stale", "no reference"]


@dataclass(frozen=True)
class Result:
    """What measuring one cell gave, with all that decided it."""

    cell: Cell
    fingerprint: str
    """of cell, recipe and reference: a result with another one is stale"""
    reference: str
    """fingerprint of the reference's weights"""
    reducer: dict[str, Any] = field(default_factory=dict)
    """settings in full"""
    recipe: dict[str, Any] = field(default_factory=dict)
    """settings in full"""
    data: dict[str, str] = field(default_factory=dict)
    """fingerprints of the images, by split"""
    images: int = 0
    accuracy: Interval | None = None
    """top-1 on the test images, bootstrap over images"""
    correct: str | None = None
    """which test images are right: one bit each, base64"""
    predicted: str | None = None
    """fingerprint of the predicted classes"""
    tokens: list[int] = field(default_factory=list)
    """seen by each loop block"""
    macs: dict[str, float] = field(default_factory=dict)
    """of one image, by convention"""
    training: dict[str, Any] = field(default_factory=dict)
    """steps, wall minutes, images a second, and the validation curve"""
    speed: dict[str, Any] = field(default_factory=dict)
    """a `SpeedResult` without its single times"""
    detection: dict[str, Any] = field(default_factory=dict)
    """of detect, stale and trust cells, see `experiments.detection`"""
    minutes: float = 0.0
    """wall time of the whole cell"""
    images_per_second: float = 0.0
    """test images, reading them included"""
    created: str = ""
    code_version: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    """with threads and load"""

    @cached_property
    def right(self) -> np.ndarray:
        """(images,) 1.0 where the test image was classified correctly."""
        packed = np.frombuffer(base64.b64decode(self.correct or ""), np.uint8)
        return np.unpackbits(packed, count=self.images).astype(np.float64)

    def save(self, path: Path) -> None:
        """Write the file, or leave the old one."""
        text = json.dumps(to_dict(self), indent=1, ensure_ascii=False, default=str)
        write_atomic(path, f"{text}\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read one."""
        return from_dict(cls, json.loads(path.read_text()))


def pack(correct: np.ndarray) -> str:
    """(n,) booleans → base64 of their bits."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def recipe_of(cell: Cell, lab: Lab) -> Recipe:
    """The re-training of a tune or trust cell."""
    return preset("small").changed(**{**lab.recipe, **cell.recipe}, seed=cell.seed)


def identity(cell: Cell, lab: Lab, reference: str) -> str:
    """Fingerprint of all that decides the result but the code."""
    training = [_chosen(recipe_of(cell, lab)), lab.train_images, lab.validation_images]
    return fingerprint([FORMAT, asdict(cell), reference, training if cell.trained else None])


def _chosen(recipe: Recipe) -> dict[str, Any]:
    """Settings that differ from their defaults, so that a new setting does not age old results."""
    defaults = {f.name: f.default for f in fields(Recipe)}
    return {k: v for k, v in recipe.decisive().items() if to_dict(defaults[k]) != v}


def state(cell: Cell, lab: Lab) -> State:
    """Whether the cell's result is there and belongs to the present reference and settings."""
    reference, file = lab.reference_fingerprint(cell), lab.cell_file(cell)
    if reference is None:
        return "no reference"
    if not file.exists():
        return "missing"
    found = json.loads(file.read_text())["fingerprint"]
    return "done" if found == identity(cell, lab, reference) else "stale"


def load_results(lab: Lab, cells: Iterable[Cell]) -> dict[str, Result]:
    """Finished cells by id; a stale one counts as missing."""
    done = [cell for cell in cells if state(cell, lab) == "done"]
    return {cell.id: Result.load(lab.cell_file(cell)) for cell in done}


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process alone works on ``path`` now; the system frees the claim of a dead one."""
    import fcntl  # not on Windows: there one process runs the cells

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
