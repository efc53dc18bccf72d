"""Measuring one cell."""

from __future__ import annotations

import copy
import datetime
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.cells import Cell
from experiments.corrupted import corruption_errors
from experiments.data import part
from experiments.detection import detection, low_level_baselines
from experiments.lab import Lab
from experiments.outlier_cells import CORRUPTED
from experiments.store import Result, identity, pack, recipe_of
from rmeeto import Preprocessing, reduce_
from rmeeto.backbones import Backbone
from rmeeto.config import fingerprint, to_dict
from rmeeto.evaluation import bootstrap, predict
from rmeeto.profiling import ImageInput, compare_speed, count_flops, describe_machine
from rmeeto.reducers import reducer_from_dict, reducer_to_dict
from rmeeto.retrain import Event, Trained, retrain
from rmeeto.workflows.record import code_version

Say = Callable[[str], None]


def execute(cell: Cell, lab: Lab, say: Say) -> Result:
    """Measure ``cell`` and write its file; a re-training goes on where it was interrupted."""
    began, reference = time.perf_counter(), lab.reference_fingerprint(cell)
    assert reference is not None, "the caller skips cells without a reference"
    model = lab.model(cell)
    plain = copy.deepcopy(model)
    if cell.reducer is not None:
        reduce_(model, reducer_from_dict(cell.reducer))
    measured = _STEPS[cell.kind](cell, lab, model, plain, say)
    result = Result(
        cell=cell, fingerprint=identity(cell, lab, reference), reference=reference,
        reducer=reducer_to_dict(model.reduction.config) if model.reduction else {},
        tokens=list(count_flops(model).tokens),
        macs={c: count_flops(model, c).macs for c in ("paper", "full")},
        minutes=(time.perf_counter() - began) / 60, code_version=code_version(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=describe_machine(), **measured,
    )  # fmt: skip
    result.save(lab.cell_file(cell))
    shutil.rmtree(_run_folder(cell, lab), ignore_errors=True)  # what is needed is in the file now
    return result


def _free(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    return _accuracy(cell, lab, model)


def _tune(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    sets, recipe = lab.open(cell.data), recipe_of(cell, lab)
    train = part(sets.train, lab.train_images)
    validation = part(sets.validation, lab.validation_images)
    done = retrain(
        model, recipe, train, validation, _run_folder(cell, lab),
        preprocessing=_preprocessing(model), teacher=plain, on_event=_progress(say),
        outliers=None if recipe.trust is None else lab.outliers(cell.data).train,
    )  # fmt: skip
    kept = ("steps", "epochs", "images", "minutes", "images_per_second", "kept", "ema_accuracy")
    training = {name: getattr(done, name) for name in kept}
    training["validation"] = [
        {"epoch": row["epoch"], "accuracy": row["ema_accuracy"]}
        for row in done.history if row["kind"] == "validated"
    ]  # fmt: skip
    found = _accuracy(cell, lab, model)
    found["data"] |= {"train": train.fingerprint(), "validation": validation.fingerprint()}
    return {**found, "recipe": to_dict(recipe), "training": training}


def _speed(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    test = lab.open(cell.data).test
    models = {"unreduced": plain, "reduced": model}
    found = compare_speed(
        models, ImageInput(test, _preprocessing(model)), lab.batch_sizes, lab.stop,
        flops={name: count_flops(m, "full").macs for name, m in models.items()},
        on_estimate=lambda cost: say(f"  timing: {cost}"),
    )  # fmt: skip
    speed = to_dict(found)
    for timing in speed["timings"]:
        del timing["seconds"]  # every single call: the percentiles stay
    return {"speed": speed, "data": {"test": test.fingerprint()}}


def _detect(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    found = {**_accuracy(cell, lab, model), "detection": _detection(cell, lab, model)}
    if cell.reducer is None:  # a property of the images: once a data set is enough
        found["detection"]["low_level"] = low_level_baselines(lab, cell)
    return found


def _stale(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    return {**_accuracy(cell, lab, model), "detection": detection(model, lab, cell, plain)}


def _trust(cell: Cell, lab: Lab, model: Backbone, plain: Backbone, say: Say) -> dict[str, Any]:
    return {**_tune(cell, lab, model, plain, say), "detection": _detection(cell, lab, model)}


def _detection(cell: Cell, lab: Lab, model: Backbone) -> dict[str, Any]:
    found = detection(model, lab, cell)
    if cell.label in CORRUPTED:
        found["corruptions"] = corruption_errors(model, lab, cell)
    return found


_STEPS = {
    "free": _free, "tune": _tune, "speed": _speed, "detect": _detect, "stale": _stale, "trust": _trust,
}  # fmt: skip


def _accuracy(cell: Cell, lab: Lab, model: Backbone) -> dict[str, Any]:
    test = lab.open(cell.data).test
    found = predict(model, test, _preprocessing(model))
    right = found.correct()
    if len(right) != len(test):
        raise RuntimeError(
            f"{len(test) - len(right)} test images can't be read: results won't pair"
        )
    return {
        "accuracy": bootstrap(right), "correct": pack(right), "images": len(right),
        "predicted": fingerprint(np.argmax(found.logits, axis=1).tolist()),
        "images_per_second": len(right) / found.seconds, "data": {"test": test.fingerprint()},
    }  # fmt: skip


def _preprocessing(model: Backbone) -> Preprocessing:
    return Preprocessing(**model.config.preprocessing)


def _run_folder(cell: Cell, lab: Lab):
    """A folder of its own for every setting, so that a changed one never meets an old checkpoint."""
    reference = lab.reference_fingerprint(cell) or ""
    return lab.runs / "cells" / cell.id / identity(cell, lab, reference)


def _progress(say: Say):
    """Report every half minute."""
    spoken = time.monotonic()

    def on_event(event: Event) -> None:
        nonlocal spoken
        if isinstance(event, Trained) and time.monotonic() - spoken > 30:
            spoken = time.monotonic()
            left = f", {event.seconds_left / 60:.1f} min left" if event.seconds_left else ""
            pace = f"{event.images_per_second:.0f} images/s{left}"
            say(f"  epoch {event.epoch:.2f}, loss {event.loss:.3f}, {pace}")

    return on_event
