"""The main job: evaluate → reduce → evaluate → re-train → evaluate → measure speed → report."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backbones import Backbone, load_model, save_model
from ..config import to_dict
from ..data import ImageSource, Subset
from ..errors import ConfigError, RmeetoError
from ..evaluation import accuracies, bootstrap, correct, predict
from ..profiling import gain_over_size_line, peak_memory
from ..reporting import Metric, Point, RunRecord, Series
from ..retrain import Recipe, retrain
from ..tokens import reduce_
from . import audit_run, measure
from .auditing.cascade import CASCADE, ImageCost
from .auditing.corruptions import open_corruptions
from .auditing.inputs import open_images
from .folder import RunFolder
from .options import AuditOptions, CorruptionOptions, RebuildOptions, ShiftOptions
from .record import default_out, finish, start_record
from .setup import (
    Job,
    Splits,
    build_recipe,
    build_reducer,
    open_model,
    open_splits,
    part_splits,
    settle,
)
from .training import training_notes, watch
from .trust import check_room, check_unseen, open_outliers, trusting
from .ui import Silent, Watcher


@dataclass
class _Run:
    """What the steps of one rebuild share."""

    options: RebuildOptions
    ui: Watcher
    splits: Splits
    job: Job
    folder: RunFolder
    reducer: Any
    recipe: Recipe
    outliers: ImageSource | None
    notes: tuple[str, ...]
    correct: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    metrics: list[Metric] = dataclasses.field(default_factory=list)
    skipped: dict[str, Any] = dataclasses.field(default_factory=dict)


def run(options: RebuildOptions, ui: Watcher | None = None) -> RunRecord:
    """Reduce the tokens of a model, re-train it, and prove what came of it.

    Args:
        options: see `RebuildOptions`; every field is a flag of `rmeeto rebuild`.
        ui: who watches; nobody by default.

    Returns:
        The record; the run folder also holds report.html, the rebuilt model and log.jsonl.

    Raises:
        RmeetoError: with three lines that say what to change; finished stages stay in the folder.
    """
    run_ = _prepare(options, ui or Silent())
    began = time.perf_counter()
    full = run_.job.model
    _announce(run_)
    reduced = reduce_(copy.deepcopy(full), run_.reducer)
    _evaluate(run_, "baseline", full)
    _evaluate(run_, "reduced", reduced)
    curve = _curve(run_, full)
    trained, history = _retrain(run_, reduced, full)
    _evaluate(run_, "retrained", trained)
    if options.control:
        control, its = _retrain(run_, copy.deepcopy(full), full, "control")
        told = [note for note in training_notes(run_.recipe, its) if note not in run_.notes]
        run_.notes += tuple(f"control: {note}" for note in told)
        _evaluate(run_, "control", control)
    speed = run_.folder.value("speed", lambda: measure.measure_speed(
        {"baseline": full, "retrained": trained}, run_.splits.evaluation, options.speed, run_.ui))  # fmt: skip
    audit = _audit(run_, full, speed)
    return _report(run_, full, trained, curve, history, speed, audit, began)


def _prepare(options: RebuildOptions, ui: Watcher) -> _Run:
    settle(options.run)
    reducer = build_reducer(options.reduction)
    if reducer is None:
        raise ConfigError(
            "a reduction to rebuild with",
            "--method none",
            "use --method rmeeto, or `rmeeto evaluate`",
        )
    if options.ood and not options.audit:
        raise ConfigError("--ood", " ".join(options.ood), "it belongs to --audit; add that")
    if options.corrupting != CorruptionOptions() and not options.audit:
        reason = "they belong to --audit; add that"
        raise ConfigError("corrupted images", "no --audit", reason)
    if options.shifting != ShiftOptions() and not options.audit:
        reason = "they belong to --audit; add that"
        raise ConfigError("--shifts or --real", "no --audit", reason)
    recipe = trusting(build_recipe(options.training, options.run.seed), options.trusting)
    splits = open_splits(options.data, options.run.seed)
    _check_corruptions(options, splits)
    judged = open_images(_audit_options(options)).outliers if options.audit else ()
    job = open_model(options.model, splits.evaluation.classes, ui, options.run.seed)
    reduce_(copy.deepcopy(job.model), reducer)
    outliers, notes = open_outliers(options.trusting, splits.train, options.run.seed)
    notes += check_unseen(options.trusting, outliers, judged)
    notes += check_room(recipe, job.model, outliers)
    inputs = {"model": job.identity, "data": splits.identity()}
    inputs |= {"outliers": outliers.fingerprint()} if outliers else {}
    folder = RunFolder(
        default_out(options.run, "rebuild"), options, inputs, options.run.resume,
        ("corrupting", "shifting", "control"),
    )  # fmt: skip
    return _Run(options, ui, splits, job, folder, reducer, recipe, outliers, notes)


def _check_corruptions(options: RebuildOptions, splits: Splits) -> None:
    """Let what the audit can't corrupt fail before the training."""
    corrupting, seed, evaluation = options.corrupting, options.run.seed, splits.evaluation
    if corrupting.masks is not None:  # images kept in memory do not tell their places in the set
        evaluation = part_splits(options.data, seed).evaluation
    open_corruptions(corrupting, evaluation, seed)


_TRAINING_STEP = 5.0  # a training image costs about five evaluations: backward pass and teacher


def _announce(run_: _Run) -> None:
    """Say what the run will take, before it starts."""
    options, recipe = run_.options, run_.recipe
    for note in run_.notes:
        run_.ui.note(note)
    splits, job = run_.splits, run_.job
    each = measure.image_seconds(job.model, splits.evaluation, job.preprocessing)
    seen = 3 * len(splits.evaluation) + options.curve_images * len(options.curve)
    steps = [
        s
        for s in (recipe.max_steps, (recipe.epochs or 0) * len(splits.train) / recipe.batch_size)
        if s
    ]
    bounds = [min(steps) * recipe.batch_size * _TRAINING_STEP * each] if steps else []
    bounds += [60 * recipe.minutes] if recipe.minutes else []
    training = min(bounds) * (2 if options.control else 1)
    speed = options.speed.speed_seconds * len(options.speed.batches)
    run_.ui.note(
        f"expected: about {(seen * each + training + speed) / 60:.1f} minutes, of which re-training "
        f"{training / 60:.1f} ({1 / each:.0f} images/s in evaluation; stages already done are skipped)"
    )


def _evaluate(run_: _Run, stage: str, model: Backbone) -> None:
    logits, labels, skipped = measure.evaluate_stage(
        run_.folder,
        stage,
        model,
        run_.splits.evaluation,
        run_.job.preprocessing,
        run_.options.data,
        run_.ui,
    )
    seed = run_.options.run.seed
    run_.correct[stage] = correct(logits, labels)
    for name, interval in accuracies(logits, labels, seed=seed).items():
        run_.metrics.append(measure.interval_metric(name, interval, stage))
    if stage != "baseline":
        base = run_.correct["baseline"]
        run_.metrics.append(
            measure.paired_change(base, run_.correct[stage], "top1_change", stage, seed)
        )
    if skipped["count"]:
        run_.skipped[stage] = skipped
    value = 100 * run_.correct[stage].mean()
    run_.ui.note(f"{stage}: top-1 {value:.2f} % on {len(labels)} images")


def _curve(run_: _Run, full: Backbone) -> list[dict[str, Any]]:
    """Training-free accuracy over r, on the first images of the validation part."""
    options = run_.options
    if not options.curve_images or run_.reducer.r is None or not isinstance(run_.reducer.r, int):
        return []
    source = run_.splits.validation
    source = Subset(source, range(min(options.curve_images, len(source))))

    def point(r: int) -> dict[str, Any]:
        model = reduce_(copy.deepcopy(full), dataclasses.replace(run_.reducer, r=r))
        found = predict(model, source, run_.job.preprocessing, options.data.batch_size)
        return {"r": r, **to_dict(bootstrap(found.correct(), options.run.seed))}

    rows = []
    with run_.ui.bar("accuracy over r") as bar:
        for k, r in enumerate(options.curve):
            try:
                rows.append(run_.folder.value(f"curve_r{r}", lambda r=r: point(r)))
            except ConfigError:  # r too large for this model: the curve ends here
                break
            bar.update(k + 1, len(options.curve), f"r = {r}")
    return rows


def _retrain(
    run_: _Run, model: Backbone, teacher: Backbone, control: str = ""
) -> tuple[Backbone, dict[str, Any]]:
    """Train the model as the recipe says; the control's files lie in a folder of that name."""
    options, folder, recipe = run_.options, run_.folder, run_.recipe
    path = folder.path / control
    model_dir = path / "model"
    if control and recipe.elastic:  # there is no schedule to draw shares of
        recipe = recipe.changed(elastic=False)

    def compute() -> dict[str, Any]:
        with run_.ui.bar(f"re-train {control}".strip()) as bar:
            result = retrain(
                model, recipe, run_.splits.train, run_.splits.validation, path / "retrain",
                preprocessing=run_.job.preprocessing, teacher=teacher, outliers=run_.outliers,
                on_event=watch(bar), resume=options.run.resume,
            )  # fmt: skip
        provenance = {"command": "rebuild", "recipe": to_dict(recipe), "from": options.model.model}
        save_model(
            model, model_dir, {"classes": run_.splits.train.classes, "provenance": provenance}
        )
        return to_dict(result)

    history = folder.value(f"retrain_{control}" if control else "retrain", compute)
    return load_model(model_dir), history


def _audit(run_: _Run, full: Backbone, speed: dict[str, Any]) -> RunRecord | None:
    """The rebuilt model against the original, if that was asked for."""
    options, path = run_.options, run_.folder.path
    if not options.audit:
        return None
    if not (path / "baseline" / "config.json").exists():
        save_model(full, path / "baseline", {"classes": run_.splits.train.classes})
    pair = (str(path / "baseline"), str(path / "model"))
    run = dataclasses.replace(options.run, out=path / "audit")
    asked = dataclasses.replace(_audit_options(options), models=pair, run=run)
    return audit_run.run(asked, run_.ui, ImageCost.timed(speed, "baseline", "retrained"))


def _audit_options(options: RebuildOptions) -> AuditOptions:
    """What of a rebuild's settings its audit takes over."""
    return AuditOptions(
        data=options.data, ood=options.ood, corrupting=options.corrupting,
        shifting=options.shifting, run=options.run,
    )  # fmt: skip


def _report(
    run_: _Run, full: Backbone, trained: Backbone, curve: list[dict], history: dict, speed: dict[str, Any],
    audit: RunRecord | None, began: float,
) -> RunRecord:  # fmt: skip
    options, folder = run_.options, run_.folder
    tokens = []
    for stage, model in (("baseline", full), ("retrained", trained)):
        metrics, layers = measure.cost_metrics(model, stage)
        run_.metrics += metrics
        tokens.append(layers)
    groups = {"baseline": "baseline", "retrained": "retrained"}
    run_.metrics += measure.speed_metrics(speed, groups)
    run_.metrics += _memory(run_, {"baseline": full, "retrained": trained})
    run_.metrics += _size_line(run_)
    run_.metrics += _audited(audit) if audit else []
    run_.metrics += _control_audited(run_)
    told = [*run_.notes, *training_notes(run_.recipe, history), *_class_warning(run_.recipe, history)]
    record = start_record(
        "rebuild", options, folder.fingerprint, metrics=run_.metrics,
        warnings=(*run_.job.warnings, *dict.fromkeys(told)),
        series=[*_series(run_, curve), *(audit.series if audit else ())], history=history["history"],
        tokens_per_layer=tokens,
        skipped=run_.skipped, tables=() if audit is None else audit.tables,
        pictures=measure.pictures(trained, run_.splits.evaluation, run_.job.preprocessing, options.pictures),
        timings={"retrain": 60 * history["minutes"], "this_call": time.perf_counter() - began},
    )  # fmt: skip
    return finish(record, folder, run_.ui)


_OF_AUDIT = ("ece", *(f"{kind}_auroc@{score}" for kind in ("near", "far") for score in ("msp", "energy")))


def _audited(audit: RunRecord) -> list[Metric]:
    """What of an audit stands beside accuracy and speed; its tables hold the paired changes."""
    stages = {"A": "baseline", "B": "retrained"}
    found = [m for m in audit.metrics if m.name in _OF_AUDIT and m.group in stages]
    cascade = [m for m in audit.metrics if m.group == CASCADE]
    return [dataclasses.replace(m, group=stages[m.group]) for m in found] + cascade


def _control_audited(run_: _Run) -> list[Metric]:
    """The rebuilt model against the control, in audit_control/: what the reduction does at equal training."""
    options, path = run_.options, run_.folder.path
    if not (options.audit and options.control):
        return []
    pair = (str(path / "control" / "model"), str(path / "model"))
    run = dataclasses.replace(options.run, out=path / "audit_control")
    asked = dataclasses.replace(_audit_options(options), models=pair, run=run)
    found = audit_run.run(asked, run_.ui).metrics
    return [
        dataclasses.replace(m, group="control")
        for m in found
        if m.name in _OF_AUDIT and m.group == "A"
    ]


def _class_warning(recipe: Recipe, history: dict[str, Any]) -> list[str]:
    """That a class lost more than it may, if so."""
    limit, lost = recipe.max_class_drop, 100 * history.get("class_drop", -1.0)
    if limit is None or lost <= limit + 1e-6:
        return []
    return [
        f"no weights kept every class within {limit:g} points in validation: the worst class lost {lost:.1f}"
    ]


def _memory(run_: _Run, models: dict[str, Backbone]) -> list[Metric]:
    batch = 32

    def compute() -> dict[str, float]:
        return {stage: peak_memory(model, batch).added for stage, model in models.items()}

    try:
        found = run_.folder.value("memory", compute)
    except RmeetoError as error:  # a measurement that failed is no reason to lose the others
        run_.ui.note(f"peak memory was not measured: {error.reason}")
        return []
    note = "added by one forward pass at batch 32, fresh process"
    return [Metric("peak_memory", v, "MiB", "lower", group=k, note=note) for k, v in found.items()]


def _size_line(run_: _Run) -> list[Metric]:
    """Gain over the line through unreduced siblings, when their records were given."""
    if not run_.options.sizes:
        return []
    siblings = [RunRecord.load(path) for path in run_.options.sizes]
    family = [_place(record.metrics, "baseline") for record in siblings]
    gain = gain_over_size_line(
        [*family, _place(run_.metrics, "baseline")], _place(run_.metrics, "retrained")
    )
    if gain.gain is None:
        run_.ui.note(f"no gain over the size line: {gain.reason}")
        return []
    return [Metric("gain_over_size_line", gain.gain, "points", group="retrained")]


def _place(metrics: Iterable[Metric], group: str) -> tuple[float, float]:
    """(GFLOPs, accuracy in percent) of one stage."""
    value = {m.name: m.value for m in metrics if m.group == group}
    return value["gflops_full"] or 0.0, value["top1"] or 0.0


def _series(run_: _Run, curve: list[dict]) -> list[Series]:
    value = {(m.name, m.group): m for m in run_.metrics}
    if not curve:
        return _speed_series(run_, value)
    group, note = "Accuracy against r", "merged, not re-trained"
    points = measure.curve_points(curve, "r")
    return [Series(note, "r (tokens merged at each site)", "top-1 (%)", points, "line", group),
            *_speed_series(run_, value)]  # fmt: skip


def _speed_series(run_: _Run, value: dict) -> list[Series]:
    """Baseline and re-trained model: accuracy against measured speed at each batch size."""
    series = []
    for batch in run_.options.speed.batches:
        points = []
        for stage in ("baseline", "retrained"):
            top1, speed = value["top1", stage], value[f"images_per_s@{batch}", stage]
            points.append(Point(speed.value, top1.value, top1.low, top1.high, stage))
        series.append(Series(f"batch {batch}", "images per second", "top-1 (%)", tuple(points),
                             "line", "Accuracy against measured speed"))  # fmt: skip
    return series
