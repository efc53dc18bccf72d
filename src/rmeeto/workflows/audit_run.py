"""What a model, or a model and its changed copy, knows about what it does not know."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import fingerprint, to_dict
from ..data import ImageSource, low_level
from ..errors import ConfigError
from ..evaluation.checks import check_draws
from ..profiling import count_flops
from ..reporting import LayerTokens, Metric, RunRecord, Table
from ..scores import GradientScore
from . import measure
from .auditing import batches, cascade, corruptions, inputs, lines, outputs, shifts, tables
from .auditing.cascade import ImageCost
from .auditing.corruptions import Corruptions, missing, open_corruptions
from .auditing.detectors import learns, score_named
from .auditing.extra import Extra
from .auditing.inputs import Candidate, Images
from .auditing.lines import Line
from .auditing.outputs import Keeper, Scored
from .folder import RunFolder
from .options import AuditOptions
from .record import default_out, finish, start_record
from .setup import settle
from .ui import Silent, Watcher

# Settings that no kept output depends on: sets and scores may change from call to call.
_FREE = ("ood", "scores", "gradient", "draws", "corrupting", "shifting", "speed", "timing")


@dataclass(frozen=True, eq=False)
class _Audit:
    """What the steps of one audit share."""

    options: AuditOptions
    ui: Watcher
    names: tuple[str, ...]
    images: Images
    candidates: list[Candidate]
    corruptions: Corruptions | None
    folder: RunFolder
    keeper: Keeper


def run(
    options: AuditOptions, ui: Watcher | None = None, cost: ImageCost | None = None
) -> RunRecord:
    """Audit one model, or two side by side.

    Args:
        options: see `AuditOptions`; every field is a flag of `rmeeto audit`.
        ui: who watches; nobody by default.
        cost: of an image, for the cascade, where the caller has measured it.

    Returns:
        The record: metrics of groups "A", "B" and "B − A" (ID figures, near and far averages),
        tables for each OOD set, and "All measures" with every number.

    Raises:
        RmeetoError: with three lines that say what to change; finished passes stay in the folder.
    """
    audit = _prepare(options, ui or Silent())
    began = time.perf_counter()
    _announce(audit)
    models, notes = _score(audit)
    speed, timed = _speed(audit)
    seed = options.run.seed
    extra = [
        *_same_classes(audit, models),
        cascade.risk_extra(models, seed),
        _cascade(audit, models, timed or cost),
        _corrupted(audit),
        speed,
    ]
    passed = time.perf_counter()
    found = _lines(audit, models) + [line for part in extra for line in part.lines]
    record = _record(audit, models, found, extra, notes, {"forward passes and scores": passed - began,
                     "intervals": time.perf_counter() - passed})  # fmt: skip
    return finish(record, audit.folder, audit.ui)


def _prepare(options: AuditOptions, ui: Watcher) -> _Audit:
    settle(options.run)
    check_draws(options.draws)
    names = inputs.chosen_scores(options)  # what can't work should fail before the work
    images = inputs.open_images(options)
    corrupted = open_corruptions(options.corrupting, images.evaluation, options.run.seed)
    candidates = inputs.open_candidates(options, images, ui)
    if options.speed and len(candidates) < 2:
        reason = "it times two models; give B, or a reduction such as --r 11"
        raise ConfigError("--speed", "one model", reason)
    known = {c.letter: c.fingerprint for c in candidates}
    parts = [s.fingerprint() for s in (images.fit, images.held_out, images.evaluation)]
    made_of = {**known, "data": fingerprint(parts)}
    folder = RunFolder(
        default_out(options.run, "audit"), options, made_of, options.run.resume, _FREE
    )
    keeper = Keeper(folder, options.data, ui)
    return _Audit(options, ui, names, images, candidates, corrupted, folder, keeper)


def _sources(audit: _Audit) -> list[ImageSource]:
    """The image sets that are run, with those that the chosen scores are fitted on."""
    chosen = [score_named(name) for name in audit.names]
    found = [audit.images.evaluation, *(o.source for o in audit.images.outliers)]
    if any(learns(score) and not score.held_out for score in chosen):
        found.append(audit.images.fit)
    if any(score.held_out for score in chosen):
        found.append(audit.images.held_out)
    return found


_GRADIENT_COST = 4.0  # forward, backward and a second forward pass, in forward passes


def _announce(audit: _Audit) -> None:
    """Say what the passes will take, before they start; gradient scores and corruptions apart."""
    plain = costly = corrupted = 0.0
    wanted = audit.corruptions
    scores = [outputs.configured(name, audit.candidates[0]) for name in audit.names]
    changes = [s for s in scores if isinstance(s, GradientScore)]
    for candidate in audit.candidates:
        each = measure.image_seconds(
            candidate.model, audit.images.evaluation, candidate.preprocessing
        )
        sources = _sources(audit)
        due = [*sources, *audit.images.shifted]
        plain += each * sum(len(s) for s in due if not audit.keeper.is_kept(candidate, s))
        if any(score.layered for score in scores):
            plain += each * sum(map(len, sources))
        steps = {audit.keeper.stage(candidate, s, g) for g in changes for s in sources[:1]}
        costly += _GRADIENT_COST * each * len(steps) * sum(map(len, sources))
        if wanted:
            corrupted += each * len(wanted.images) * missing(audit.keeper, [candidate], wanted)
    audit.ui.note(
        f"expected: about {plain / 60:.1f} minutes of forward passes that are not kept yet"
    )
    if changes:
        named = ", ".join(s.name for s in changes)
        audit.ui.note(f"gradient scores ({named}) add up to {costly / 60:.1f} minutes")
    if audit.options.speed:
        timing = audit.options.timing
        seconds = timing.speed_seconds * len(timing.batches)
        audit.ui.note(f"measuring speed adds about {seconds / 60:.1f} minutes")
    if wanted:
        audit.ui.note(f"corruptions add about {_minutes(audit, wanted, corrupted)}")


def _minutes(audit: _Audit, wanted: Corruptions, passing: float) -> str:
    """Time of the corrupted passes that are not kept yet, in words."""
    due, sets = missing(audit.keeper, audit.candidates, wanted), len(wanted.cells)
    made = wanted.seconds * len(wanted.images) * due / (sets + 1) / len(audit.candidates)
    return (
        f"{(passing + made) / 60:.1f} minutes, of which making the images {made / 60:.1f} "
        f"({due} passes over {len(wanted.images)} images)"
    )


def _score(audit: _Audit) -> tuple[list[Scored], list[str]]:
    """Both models' scores; a score that one of them lacks is left out for both."""
    models, notes = [], inputs.image_warnings(audit.images, audit.candidates)
    for candidate in audit.candidates:
        found, said = outputs.scored(audit.keeper, candidate, audit.images, audit.names)
        models.append(found)
        notes += [*candidate.warnings, *said]
    shared = [n for n in audit.names if all(n in m.scores for m in models)]
    models = [Scored(m.candidate, m.inside, {n: m.scores[n] for n in shared}) for m in models]
    return models, notes + outputs.equal_scores(models, audit.images.outliers)


def _lines(audit: _Audit, models: Sequence[Scored]) -> list[Line]:
    seed, draws, outliers = audit.options.run.seed, audit.options.draws, audit.images.outliers
    found = lines.id_lines(models, seed, draws) + lines.error_lines(models, seed, draws)
    with audit.ui.bar("intervals") as bar:
        found += lines.detection_lines(
            models, outliers, seed, draws, lambda k, of: bar.update(k, of, f"{k}/{of}")
        )
    if len(models) == 2 and outliers:
        found += lines.transfer_lines(models[0], models[1], outliers, seed, draws)
    return found


def _same_classes(audit: _Audit, models: Sequence[Scored]) -> list[Extra]:
    """Images of the ID classes: shifted, with several right labels, beside other images."""
    images, seed, draws = audit.images, audit.options.run.seed, audit.options.draws
    found = [shifts.shift_extra(audit.keeper, models, images, seed, draws)]
    if images.real is not None:
        found.append(shifts.real_extra(models, images.real, seed, draws))
    found.append(
        batches.batch_extra(audit.folder, audit.candidates, images.evaluation, seed)
    )
    return found


def _corrupted(audit: _Audit) -> Extra:
    """Errors on corrupted images, if they were asked for."""
    wanted, seed = audit.corruptions, audit.options.run.seed
    if wanted is None:
        return Extra()
    errors = corruptions.measure_errors(audit.keeper, audit.candidates, wanted, audit.ui)
    return corruptions.corruption_extra(wanted, errors, seed, audit.options.draws)


def _speed(audit: _Audit) -> tuple[Extra, ImageCost | None]:
    """Measured speed of both models, if that was asked for, and what an image costs by it."""
    options = audit.options
    if not options.speed:
        return Extra(), None
    models = {c.letter: c.model for c in audit.candidates}
    found = audit.folder.value(
        f"speed_{fingerprint(to_dict(options.timing))[:8]}",
        lambda: measure.measure_speed(models, audit.images.evaluation, options.timing, audit.ui),
    )
    metrics = measure.speed_metrics(found, {letter: letter for letter in models})
    return Extra(metrics=metrics), ImageCost.timed(found, "A", "B")


def _cascade(audit: _Audit, models: Sequence[Scored], cost: ImageCost | None) -> Extra:
    """B first, A when unsure, at measured times, or else at the FLOPs of what runs."""
    if len(models) < 2:
        return Extra()
    if cost is None:
        a, b = (count_flops(c.model, "full").gflops for c in audit.candidates)
        cost = ImageCost(a, b, "GMACs", "counted, both scan directions")
    return cascade.cascade_extra(models[0], models[1], cost, audit.options.run.seed)


def _record(
    audit: _Audit, models: list[Scored], found: list[Line], extra: Sequence[Extra], notes: list[str],
    timings: dict[str, float],
) -> RunRecord:  # fmt: skip
    metrics, layers = _cost(audit.candidates)
    kept_with = [
        *(o.source.fingerprint() for o in audit.images.outliers),
        audit.names,
        audit.options.draws,
        to_dict(audit.options.corrupting),
        [s.fingerprint() for s in audit.images.shifted],
        audit.images.real and [sorted(labels) for labels in audit.images.real],
    ]
    if audit.corruptions and audit.corruptions.masks is not None:
        kept_with.append(audit.corruptions.masks.fingerprint())
    shown, more = _tables(audit, models, found, [t for part in extra for t in part.tables])
    more += [note for part in extra for note in part.notes]
    return start_record(
        "audit", audit.options, fingerprint([audit.folder.fingerprint, kept_with]),
        metrics=tables.metrics(found) + metrics + [m for part in extra for m in part.metrics], tables=shown,
        series=[s for part in extra for s in part.series], tokens_per_layer=layers,
        skipped=_skipped(audit), warnings=notes + more + _missing(audit, found), timings=timings,
        headline=_headline(audit, found),
    )  # fmt: skip


def _tables(
    audit: _Audit, models: list[Scored], found: list[Line], extra: Sequence[Table]
) -> tuple[list[Table], list[str]]:
    outliers, seed, draws = audit.images.outliers, audit.options.run.seed, audit.options.draws
    shown = tables.set_tables(found, outliers)
    notes: list[str] = []
    if outliers:
        values = [
            _low_level(audit, s) for s in (audit.images.evaluation, *(o.source for o in outliers))
        ]
        table, notes = tables.low_level_table(values, outliers, seed, draws)
        shown.append(table)
    shown += extra
    if len(models) == 2:
        transfers = [x for x in found if x.measure in ("id_rejected", "ood_accepted")]
        shown += [tables.transfer_table(transfers)] if transfers else []
        shown.append(tables.flip_table(models[0], models[1]))
    shown += [tables.class_table(models, audit.images.evaluation.classes), tables.full_table(found)]
    return shown, notes


def _low_level(audit: _Audit, source: ImageSource) -> dict[str, np.ndarray]:
    return audit.folder.arrays(f"low_level_{source.fingerprint()[:12]}", lambda: low_level(source))


def _cost(candidates: Sequence[Candidate]) -> tuple[list[Metric], list[LayerTokens]]:
    metrics, layers = [], []
    for candidate in candidates:
        found, tokens = measure.cost_metrics(candidate.model, candidate.letter)
        metrics += found
        layers.append(tokens)
    return metrics, layers


def _skipped(audit: _Audit) -> dict[str, dict]:
    found = {
        f"{candidate.letter}, {source.name}": audit.keeper.skipped(candidate, source)
        for candidate in audit.candidates
        for source in (*_sources(audit), *audit.images.shifted)
    }
    return {name: report for name, report in found.items() if report.get("count")}


def _missing(audit: _Audit, found: Sequence[Line]) -> list[str]:
    """What the record does not say, or says of one model twice."""
    notes = []
    if not audit.images.outliers:
        notes.append("no OOD set was given: near and far figures are missing")
    if not any(line.measure == "error_auroc" for line in found):
        notes.append("too few wrong or right answers to say which score finds the errors")
    if len({c.fingerprint for c in audit.candidates}) < len(audit.candidates):
        notes.append("A and B are the same model with the same reduction and preprocessing")
    return notes


def _headline(audit: _Audit, found: Sequence[Line]) -> str:
    a = audit.candidates[0].title
    top1 = next(line for line in found if line.measure == "top1")
    count = len(audit.images.outliers)
    images = f"{len(audit.images.evaluation)} images and {count} OOD set{'s' * (count != 1)}"
    if top1.change is None:
        return f"{a}: top-1 {tables.with_interval(top1.a)} %, audited on {images}."
    change = tables.with_interval(top1.change, signed=True)
    told = (
        f"B ({audit.candidates[1].title}) against A ({a}) on {images}: "
        f"top-1 {change} points, {top1.verdict}"
    )
    sets = {outlier.title for outlier in audit.images.outliers}
    compared = Counter(x.verdict for x in found if x.part in sets and x.measure == "auroc")
    counted = ", ".join(f"{n} {verdict}" for verdict, n in compared.items())
    return f"{told}; OOD AUROC by set and score: {counted}." if compared else f"{told}."
