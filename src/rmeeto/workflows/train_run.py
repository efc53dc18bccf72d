"""Train a model on labelled images, from scratch or from given weights."""

from __future__ import annotations

from ..backbones import load_model, save_model
from ..config import to_dict
from ..evaluation import accuracies
from ..reporting import RunRecord
from ..retrain import retrain
from . import measure
from .folder import RunFolder
from .options import TrainOptions
from .record import default_out, finish, start_record
from .setup import build_recipe, open_model, open_splits, settle
from .training import training_notes, watch
from .ui import Silent, Watcher


def run(options: TrainOptions, ui: Watcher | None = None) -> RunRecord:
    """Train, keep the weights that were best on the validation images, evaluate once on the others."""
    ui = ui or Silent()
    settle(options.run)
    recipe = build_recipe(options.training, options.run.seed)
    splits = open_splits(options.data, options.run.seed)
    overrides = {
        k: getattr(options, k) for k in ("embed_dim", "depth") if getattr(options, k) is not None
    }
    job = open_model(options.model, splits.train.classes, ui, options.run.seed, **overrides)
    inputs = {"model": job.identity, "data": splits.identity()}
    folder = RunFolder(default_out(options.run, "train"), options, inputs, options.run.resume)

    def compute() -> dict:
        with ui.bar("train") as bar:
            result = retrain(
                job.model, recipe, splits.train, splits.validation, folder.path / "retrain",
                preprocessing=job.preprocessing, on_event=watch(bar), resume=options.run.resume,
            )  # fmt: skip
        provenance = {"command": "train", "recipe": to_dict(recipe), "data": splits.train.name}
        save_model(
            job.model,
            folder.path / "model",
            {"classes": splits.train.classes, "provenance": provenance},
        )
        return to_dict(result)

    result = folder.value("train", compute)
    model = load_model(folder.path / "model")
    logits, labels, skipped = measure.evaluate_stage(
        folder, "baseline", model, splits.evaluation, job.preprocessing, options.data, ui
    )
    found = accuracies(logits, labels, seed=options.run.seed)
    metrics = [
        measure.interval_metric(name, interval, "baseline") for name, interval in found.items()
    ]
    record = start_record(
        "train", options, folder.fingerprint, metrics=metrics + measure.cost_metrics(model, "baseline")[0],
        history=result["history"], timings={"train": 60 * result["minutes"]},
        warnings=(*job.warnings, *training_notes(recipe, result)),
        skipped={"evaluation": skipped} if skipped["count"] else {},
        headline=f"{model.config.name}: {found['top1']} top-1 after {result['minutes']:.1f} minutes.",
    )  # fmt: skip
    return finish(record, folder, ui)
