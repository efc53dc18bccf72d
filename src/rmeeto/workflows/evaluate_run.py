"""Accuracy of a model on labelled images, with intervals, cost and skipped images."""

from __future__ import annotations

from ..evaluation import accuracies
from ..reporting import RunRecord
from ..tokens import reduce_
from . import measure
from .folder import RunFolder
from .options import EvaluateOptions
from .record import default_out, finish, start_record
from .setup import build_reducer, open_evaluation, open_model, settle, stated_reduction
from .stated import size_notes
from .ui import Silent, Watcher


def run(options: EvaluateOptions, ui: Watcher | None = None) -> RunRecord:
    """Evaluate one model, with the reduction that the options name (default: none).

    A saved model that carries a reduction is evaluated with it.
    """
    ui = ui or Silent()
    settle(options.run)
    source = open_evaluation(options.data)
    job = open_model(options.model, source.classes, ui, options.run.seed, keep_reduction=True)
    reducer = build_reducer(stated_reduction(options.reduction))
    model = job.model if reducer is None else reduce_(job.model, reducer)
    inputs = {"model": job.identity, "data": source.fingerprint()}
    folder = RunFolder(default_out(options.run, "evaluate"), options, inputs, options.run.resume)
    stage = "baseline" if model.reduction is None else "reduced"
    logits, labels, skipped = measure.evaluate_stage(
        folder, stage, model, source, job.preprocessing, options.data, ui
    )
    found = accuracies(logits, labels, seed=options.run.seed)
    metrics = [measure.interval_metric(name, interval, stage) for name, interval in found.items()]
    cost, layers = measure.cost_metrics(model, stage)
    record = start_record(
        "evaluate", options, folder.fingerprint, metrics=metrics + cost, tokens_per_layer=(layers,),
        skipped={stage: skipped} if skipped["count"] else {},
        warnings=(*job.warnings, *size_notes(source, job.preprocessing)),
        headline=f"{options.model.model}: {found['top1']} top-1 on {len(labels)} images.",
    )  # fmt: skip
    return finish(record, folder, ui)
