"""What a cell will cost, told beforehand."""

from __future__ import annotations

import json
import math
from functools import cache

import torch

import rmeeto
from experiments.cells import TUNE_IMAGES, Cell
from experiments.lab import VALIDATION_IMAGES, Lab
from experiments.references import REFERENCES
from experiments.store import recipe_of
from rmeeto.backbones import Backbone
from rmeeto.reducers import reducer_from_dict
from rmeeto.tokens import Reduction, Schedule

TEST_IMAGES = 10_000
FORWARD_SHARE = 0.25
"""Evaluating an image against training on it."""
SECONDS_PER_GMAC = 0.15
"""Training on one image on one core, where no reference tells: 18 ms for fashion/vim_w64."""
OVERHEAD = 4.0
"""Seconds to load a model and read images."""


def estimate(cell: Cell, lab: Lab) -> float:
    """Seconds on one core, from the measured pace of the reference's own training."""
    train = _train_seconds(cell.reference, lab)
    forward, share = FORWARD_SHARE * train, _share(cell)
    if cell.kind == "speed":
        return OVERHEAD + _timing(forward * (1 + share), lab)
    testing = TEST_IMAGES * forward * share
    if cell.kind in ("detect", "stale", "trust"):
        testing *= 2  # OOD sets, and what scores are fitted on
    if not cell.trained:
        return OVERHEAD + testing
    recipe = recipe_of(cell, lab)
    epochs = recipe.epochs or 0
    taught = min(epochs, recipe.views or epochs)  # epochs in which the teacher runs
    if recipe.distill_weight == 0:
        taught = 0
    seen = epochs * (1 if recipe.trust is None else 2)  # as many outliers as images
    training = TUNE_IMAGES * recipe.data_fraction * (seen * train * share + taught * forward)
    validating = 2 * math.ceil(epochs) * VALIDATION_IMAGES * forward * share  # last and averaged
    return OVERHEAD + training + validating + testing


def _timing(both: float, lab: Lab) -> float:
    calls = 3 + lab.stop.repeats
    return sum(min(calls * size * both, lab.stop.budget_seconds) for size in lab.batch_sizes)


def _train_seconds(reference: str, lab: Lab) -> float:
    """Of one image, unreduced."""
    file = lab.results / "references" / reference / "training.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    pace = found.get("stages", [{}])[-1].get("images_per_second")
    return 1 / pace if pace else SECONDS_PER_GMAC * _macs(reference, None) / 1e9


def _share(cell: Cell) -> float:
    """Cost of the reduced model against the unreduced one."""
    if cell.reducer is None:
        return 1.0
    reducer = json.dumps(cell.reducer, sort_keys=True)
    return _macs(cell.reference, reducer) / _macs(cell.reference, None)


@cache
def _macs(reference: str, reducer: str | None) -> float:
    model = _host(reference)
    schedule = Schedule((0,) * len(model.block_list()), model.num_tokens)
    if reducer is not None:
        schedule = Reduction(reducer_from_dict(json.loads(reducer)), model).schedule
    return model.flops(schedule.tokens(), (), "full")


@cache
def _host(reference: str) -> Backbone:
    spec = REFERENCES[reference]
    with torch.device("meta"):
        return rmeeto.create_model(spec.model, num_classes=10, **spec.overrides)


def hours(seconds: float) -> str:
    """Seconds as people plan with them."""
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"
