"""Look at a model, a checkpoint, or which tokens of one image merge."""

from __future__ import annotations

from typing import Any

from ..data import ArraySource
from ..reporting import RunRecord, Table
from ..tokens import reduce_
from . import measure
from .folder import RunFolder
from .options import InspectOptions
from .predict_run import read_image
from .record import default_out, finish, start_record
from .setup import build_reducer, open_model, settle
from .ui import Silent, Watcher


def run(options: InspectOptions, ui: Watcher | None = None) -> RunRecord:
    """Tokens and FLOPs layer by layer; with ``image``, a picture of its merged tokens."""
    ui = ui or Silent()
    settle(options.run)
    job = open_model(options.model, None, ui, options.run.seed)
    dense, dense_layers = measure.cost_metrics(job.model, "baseline")
    reducer = build_reducer(options.reduction)
    metrics, layers, tables, pictures = list(dense), [dense_layers], [], []
    if reducer is not None:
        reduced: Any = reduce_(job.model, reducer)
        cost, reduced_layers = measure.cost_metrics(job.model, "reduced")
        metrics, layers = metrics + cost, [*layers, reduced_layers]
        ui.note(str(reduced.reduction.summary()))
    tables.append(_weights(job.model))
    if options.image:
        shown = ArraySource(
            read_image(options.image)[None], [0], [options.image.name], options.image.name
        )
        pictures = measure.pictures(job.model, shown, job.preprocessing, 1)
    folder = RunFolder(
        default_out(options.run, "inspect"), options, {"model": job.identity}, resume=False
    )
    record = start_record(
        "inspect", options, folder.fingerprint, metrics=metrics, tokens_per_layer=layers,
        tables=tables, pictures=pictures, warnings=job.warnings,
        headline=f"{job.model.config.name}, {sum(p.numel() for p in job.model.parameters()):,} parameters.",
    )  # fmt: skip
    return finish(record, folder, ui)


def _weights(model) -> Table:
    rows = tuple(
        (k, "×".join(map(str, v.shape)), str(v.dtype).split(".")[-1])
        for k, v in model.state_dict().items()
    )
    return Table("Weights", ("tensor", "shape", "type"), rows)
