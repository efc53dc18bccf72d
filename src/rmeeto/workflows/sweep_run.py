"""Training-free accuracy and cost over r, method by method, on the same images."""

from __future__ import annotations

import copy
from typing import Any

from ..errors import ConfigError
from ..evaluation import bootstrap, correct
from ..profiling import count_flops
from ..reporting import RunRecord, Series, Table
from ..tokens import reduce_
from . import bounded, measure
from .folder import RunFolder
from .options import ReductionOptions, SweepOptions
from .record import default_out, finish, start_record
from .setup import Job, build_reducer, open_evaluation, open_model, settle
from .stated import size_notes
from .ui import Silent, Watcher


def run(options: SweepOptions, ui: Watcher | None = None) -> RunRecord:
    """Evaluate every method at every r without re-training; cells are kept and resumed one by one.

    With ``max_drop`` the record also says, method by method, the largest r whose lost accuracy is
    bounded, in a table and as verdicts.

    Raises:
        RmeetoError: with three lines that say what to change; finished cells stay in the folder.
    """
    ui = ui or Silent()
    settle(options.run)
    bounded.check(options)
    reducers = {
        (method, r): build_reducer(ReductionOptions(method=method, r=r, sites=options.sites))
        for method in options.methods for r in _rs(options)
    }  # fmt: skip
    source = open_evaluation(options.data)
    bounded.check_images(options, len(source))
    job = open_model(options.model, source.classes, ui, options.run.seed)
    inputs = {"model": job.identity, "data": source.fingerprint()}
    folder = RunFolder(
        default_out(options.run, "sweep"), options, inputs, options.run.resume, _FREE
    )
    rows = [
        _cell(options, job, source, folder, ui, *cell, reducer)
        for cell, reducer in reducers.items()
    ]
    table = Table(
        "Training-free accuracy", ("method", "r", "top-1 %", "low", "high", "GFLOPs", "note"),
        tuple((x["method"], x["r"], x.get("value"), x.get("low"), x.get("high"), x.get("gflops"),
               x.get("note", "")) for x in rows),
    )  # fmt: skip
    choices = _bounded(options, rows)
    record = start_record(
        "sweep", options, folder.fingerprint, tables=(table, *(_bound_tables(options, choices))),
        series=_series(rows), verdicts=bounded.verdicts(options, choices),
        warnings=(*job.warnings, *size_notes(source, job.preprocessing)),
        headline=bounded.headline(options, choices)
        or f"{len(rows)} settings of {', '.join(options.methods)} without re-training.",
    )  # fmt: skip
    return finish(record, folder, ui)


# Settings that no cell depends on.
_FREE = ("max_drop", "confidence")


def _rs(options: SweepOptions) -> tuple[int, ...]:
    """The values of r, with the unreduced model where a bound compares with it."""
    return options.rs if options.max_drop is None else tuple(dict.fromkeys((0, *options.rs)))


def _bounded(options: SweepOptions, rows: list[dict[str, Any]]) -> list[bounded.Choice]:
    """The largest r of each method whose loss is bounded; none without ``max_drop``."""
    if options.max_drop is None:
        return []
    known = [row for row in rows if "right" in row]
    full = next(row["right"] for row in known if row["r"] == 0)
    cells: dict[str, list[bounded.Cell]] = {}
    for row in known:
        cell = bounded.Cell(row["r"], row["kept"], row["right"])
        cells.setdefault(row["method"], []).append(cell)
    return bounded.choose(options, full, cells)


def _bound_tables(options: SweepOptions, choices: list[bounded.Choice]) -> list[Table]:
    return [bounded.table(options, choices)] if choices else []


def _cell(
    options: SweepOptions,
    job: Job,
    source,
    folder: RunFolder,
    ui: Watcher,
    method: str,
    r: int,
    reducer,
) -> dict[str, Any]:
    """One method at one r; an r that the model can't take is noted, not fatal to the others."""
    try:
        model = reduce_(copy.deepcopy(job.model), reducer)
    except ConfigError as error:
        ui.note(f"{method}, r = {r}: {error.reason}")
        return {"method": method, "r": r, "note": error.reason}
    stage = f"{method}_r{r}"
    logits, labels, _ = measure.evaluate_stage(
        folder, stage, model, source, job.preprocessing, options.data, ui
    )
    right, cost = correct(logits, labels), count_flops(model, "paper")
    interval = bootstrap(right, options.run.seed)
    found = {"value": interval.value, "low": interval.low, "high": interval.high}
    kept = sum(cost.tokens) / len(cost.tokens) / cost.tokens[0]
    return {"method": method, "r": r, **found, "gflops": cost.gflops, "right": right, "kept": kept}


def _series(rows: list[dict[str, Any]]) -> tuple[Series, ...]:
    series = []
    for method in dict.fromkeys(row["method"] for row in rows):
        known = [row for row in rows if row["method"] == method and "value" in row]
        for x, label in (
            ("r", "r (tokens removed at each site)"),
            ("gflops", "GFLOPs, as papers count"),
        ):
            points = measure.curve_points(known, x)
            series.append(
                Series(method, label, "top-1 (%)", points, "line", f"Accuracy against {label}")
            )
    return tuple(series)
