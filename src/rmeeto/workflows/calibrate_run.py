"""Fit a temperature on validation images, store it with the model, and say what it is worth on others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from ..backbones import Backbone, save_model
from ..errors import ConfigError
from ..evaluation import (
    TemperatureBoundWarning,
    adaptive_ece_of,
    ece_of,
    estimate,
    fit_temperature,
    image_brier,
    image_nll,
    top_class,
)
from ..reporting import Metric, RunRecord, Table
from ..tokens import reduce_
from . import measure
from .auditing.lines import Line, line_of
from .auditing.tables import shown
from .folder import RunFolder
from .options import CalibrateOptions
from .record import default_out, finish, start_record
from .setup import Job, build_reducer, open_model, part_splits, settle, stated_reduction
from .stated import class_notes, size_notes
from .temperature import stored
from .ui import Silent, Watcher

_DRAWS = 1000
_UNITS = {"nll": "nats", "brier": "", "ece": "%", "adaptive_ece": "%"}


def run(options: CalibrateOptions, ui: Watcher | None = None) -> RunRecord:
    """Fit T by the NLL of the validation images, save model and T, report on the evaluation images.

    Returns:
        The record; the folder ``model`` beside it holds the calibrated model, which `rmeeto predict`
        reads the temperature of.

    Raises:
        RmeetoError: with three lines that say what to change.
    """
    ui = ui or Silent()
    settle(options.run)
    splits = part_splits(options.data, options.run.seed)
    job = open_model(options.model, None, ui, options.run.seed, keep_reduction=True)
    _check_classes(job, options.model.model, splits.evaluation.classes)
    reducer = build_reducer(stated_reduction(options.reduction))
    model = job.model if reducer is None else reduce_(job.model, reducer)
    inputs = {"model": job.identity, "data": splits.identity()}
    folder = RunFolder(default_out(options.run, "calibrate"), options, inputs, options.run.resume)
    (fit, fit_labels, skipped), (logits, labels, more) = (
        measure.evaluate_stage(folder, name, model, source, job.preprocessing, options.data, ui)
        for name, source in (("validation", splits.validation), ("evaluation", splits.evaluation))
    )
    temperature, notes = fitted(fit, fit_labels)
    _save(folder, model, job, splits.evaluation.classes, temperature, len(fit_labels))
    lines = before_after(logits, labels, temperature, options.run.seed)
    notes += [*job.warnings, *class_notes(model, splits.evaluation.classes)]
    notes += size_notes(splits.evaluation, job.preprocessing)
    record = start_record(
        "calibrate", options, folder.fingerprint, metrics=_metrics(lines, temperature),
        tables=(_table(lines, len(labels)),), warnings=notes,
        skipped={k: v for k, v in (("validation", skipped), ("evaluation", more)) if v["count"]},
        headline=f"{options.model.model}: temperature {temperature:.3g}, fitted on {len(fit_labels)} "
        f"validation images and saved with the model in {folder.path}/model.",
    )  # fmt: skip
    return finish(record, folder, ui)


def _check_classes(job: Job, name: str, classes: Sequence[str]) -> None:
    if job.model.num_classes != len(classes):
        given = f"{name} with {job.model.num_classes} outputs"
        reason = "give the data that it was trained on"
        raise ConfigError(f"a model of the {len(classes)} classes", given, reason)


def fitted(logits: np.ndarray, labels: np.ndarray) -> tuple[float, list[str]]:
    """The temperature with the least NLL, and a warning where it stopped at a bound."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TemperatureBoundWarning)
        temperature = fit_temperature(logits, labels)
    return temperature, [str(w.message) for w in caught]


def _save(
    folder: RunFolder,
    model: Backbone,
    job: Job,
    classes: list[str],
    temperature: float,
    images: int,
) -> None:
    extra = stored(temperature, model, job.preprocessing, images)
    save_model(model, folder.path / "model", {"classes": classes, **model.metadata, **extra})


def before_after(
    logits: np.ndarray, labels: np.ndarray, temperature: float, seed: int
) -> list[Line]:
    """Calibration at T = 1 ("a") and at ``temperature`` ("b"), with the paired change."""
    both = [_measures(scaled, labels) for scaled in (logits, logits / temperature)]
    found = []
    for name, unit in _UNITS.items():
        parts = [estimate(each[name], len(labels), seed, _DRAWS) for each in both]
        found.append(line_of("ID", "", name, "lower", parts, unit))
    return found


def _measures(logits: np.ndarray, labels: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    confidence, right = top_class(logits, labels)
    losses, squares = image_nll(logits, labels), image_brier(logits, labels)
    return {
        "nll": lambda picks: losses[picks].mean(),
        "brier": lambda picks: squares[picks].mean(),
        "ece": lambda picks: ece_of(confidence[picks], right[picks]),
        "adaptive_ece": lambda picks: adaptive_ece_of(confidence[picks], right[picks]),
    }


def _metrics(lines: Sequence[Line], temperature: float) -> list[Metric]:
    found = [Metric("temperature", temperature, note="what the logits are divided by")]
    for line in lines:
        sides = {"as it was": line.a, "calibrated": line.b, "change": line.change}
        found += [
            measure.interval_metric(line.measure, interval, group, direction="lower")
            for group, interval in sides.items()
            if interval is not None
        ]
    return found


_TITLES = {
    "nll": "negative log-likelihood",
    "brier": "Brier score",
    "ece": "ECE, %",
    "adaptive_ece": "ECE, equal bins, %",
}


def _table(lines: Sequence[Line], images: int) -> Table:
    columns = ("measure", "as it was", "calibrated", "change", "")
    rows = tuple((_TITLES[line.measure], *_cells(line)) for line in lines)
    note = "In brackets the 95 % interval over images, which are the same for both; less is better."
    return Table(f"Calibration on {images} evaluation images", columns, rows, note)


def _cells(line: Line) -> tuple[str, ...]:
    return shown(line, 1 if line.a.unit == "%" else 3)
