"""Training-free accuracy and cost over r, method by method, on the same images."""

from __future__ import annotations

import copy
from typing import Any

from ..errors import ConfigError
from ..evaluation import bootstrap, correct
from ..profiling import count_flops
from ..reporting import RunRecord, Series, Table
from ..tokens import reduce_
from . import measure
from .folder import RunFolder
from .options import ReductionOptions, SweepOptions
from .record import default_out, finish, start_record
from .setup import Job, build_reducer, open_evaluation, open_model, settle
from .ui import Silent, Watcher


def run(options: SweepOptions, ui: Watcher | None = None) -> RunRecord:
    """Evaluate every method at every r without re-training; cells are kept and resumed one by one."""
    ui = ui or Silent()
    settle(options.run)
    reducers = {
        (method, r): build_reducer(ReductionOptions(method=method, r=r, sites=options.sites))
        for method in options.methods for r in options.rs
    }  # fmt: skip
    source = open_evaluation(options.data)
    job = open_model(options.model, source.classes, ui, options.run.seed)
    inputs = {"model": job.identity, "data": source.fingerprint()}
    folder = RunFolder(default_out(options.run, "sweep"), options, inputs, options.run.resume)
    rows = [
        _cell(options, job, source, folder, ui, *cell, reducer)
        for cell, reducer in reducers.items()
    ]
    table = Table(
        "Training-free accuracy", ("method", "r", "top-1 %", "low", "high", "GFLOPs", "note"),
        tuple((x["method"], x["r"], x.get("value"), x.get("low"), x.get("high"), x.get("gflops"),
               x.get("note", "")) for x in rows),
    )  # fmt: skip
    record = start_record(
        "sweep", options, folder.fingerprint, tables=(table,), series=_series(rows), warnings=job.warnings,
        headline=f"{len(rows)} settings of {', '.join(options.methods)} without re-training.",
    )  # fmt: skip
    return finish(record, folder, ui)


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
    interval = bootstrap(correct(logits, labels), options.run.seed)
    found = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {"method": method, "r": r, **found, "gflops": count_flops(model, "paper").gflops}


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
