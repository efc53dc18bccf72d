"""Speed, FLOPs and memory of the reduced against the unreduced model."""

from __future__ import annotations

import copy

from ..config import to_dict
from ..errors import RmeetoError
from ..profiling import peak_memory
from ..reporting import Metric, RunRecord
from ..tokens import reduce_
from . import measure
from .folder import RunFolder
from .options import BenchOptions
from .record import default_out, finish, start_record
from .setup import build_reducer, open_evaluation, open_model, settle
from .ui import Silent, Watcher


def run(options: BenchOptions, ui: Watcher | None = None) -> RunRecord:
    """Time both models interleaved at every batch size; weights may be random, speed is the same."""
    ui = ui or Silent()
    settle(options.run)
    reducer = build_reducer(options.reduction)
    job = open_model(options.model, None, ui, options.run.seed)
    source = None if options.data.data == "noise" else open_evaluation(options.data)
    models = {"baseline": job.model}
    if reducer is not None:
        models["reduced"] = reduce_(copy.deepcopy(job.model), reducer)
    inputs = {"model": job.identity, "data": source.fingerprint() if source else "noise"}
    folder = RunFolder(default_out(options.run, "bench"), options, inputs, options.run.resume)
    speed = folder.value("speed", lambda: measure.measure_speed(models, source, options.speed, ui))
    metrics, tokens = measure.speed_metrics(speed, {k: k for k in models}), []
    for stage, model in models.items():
        cost, layers = measure.cost_metrics(model, stage)
        metrics += [*cost, *_memory(folder, stage, model, ui)]
        tokens.append(layers)
    record = start_record(
        "bench", options, folder.fingerprint, metrics=metrics, tokens_per_layer=tokens,
        warnings=(*job.warnings, *([] if source else ["timed on noise; give --data for real images"])),
    )  # fmt: skip
    return finish(record, folder, ui)


def _memory(folder: RunFolder, stage: str, model, ui: Watcher) -> list[Metric]:
    try:
        found = folder.value(f"memory_{stage}", lambda: to_dict(peak_memory(model, 32)))
    except RmeetoError as error:  # a measurement that failed is no reason to lose the others
        ui.note(f"peak memory was not measured: {error.reason}")
        return []
    note = "added by one forward pass at batch 32, fresh process"
    return [Metric("peak_memory", found["added"], "MiB", "lower", group=stage, note=note)]
