"""What an audit looks at: one or two models, the ID images, and named OOD sets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backbones import Backbone
from ...data import ImageSource, Preprocessing, take
from ...errors import ConfigError, DataError
from ...evaluation import first_image
from ...scores import SCORES, GradientScore
from ...tokens import reduce_
from ..options import AuditOptions, ModelOptions
from ..setup import (
    build_reducer,
    deployed_fingerprint,
    open_model,
    open_test,
    part_splits,
    saved_folder,
    stated_reduction,
)
from ..stated import class_notes, size_in_words, size_notes
from ..ui import Watcher
from .detectors import score_named
from .few import few_images
from .labels import LabelSets, open_real, shifted_sets

_KINDS = ("near", "far")


@dataclass(frozen=True)
class Candidate:
    """One of the models."""

    letter: str
    """"A" or "B"."""
    title: str
    """What the user called it."""
    model: Backbone
    """In eval mode, with the reduction that it is audited with."""
    preprocessing: Preprocessing
    """What its images go through."""
    fingerprint: str
    """Of weights, reduction and preprocessing."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutlierSet:
    """Images of classes that the models were not trained on."""

    kind: str
    """"near" or "far"."""
    source: ImageSource
    name: str
    given: str = ""
    """What the user wrote after near: or far:."""

    @property
    def title(self) -> str:
        """Kind and name, such as "near: cats"."""
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Images:
    """All images of an audit."""

    fit: ImageSource
    """Training images that scores are fitted on."""
    held_out: ImageSource
    """Validation images, for scores that need images not trained on."""
    evaluation: ImageSource
    """ID images that results are reported on."""
    outliers: tuple[OutlierSet, ...]
    shifted: tuple[ImageSource, ...] = ()
    """Other images of the ID classes, whose labels count in these."""
    real: LabelSets | None = None
    """All right labels of the ID images."""


def open_images(options: AuditOptions) -> Images:
    """The ID images split as in training, and the OOD sets; ``limit`` images of each at most.

    Raises:
        DataError: nothing readable, one ID class only, or an OOD set of nothing but ID classes.
        ConfigError: an OOD set without near: or far:, or named twice.
    """
    wanted = [_parse(entry) for entry in options.ood]
    specs = [spec for _, spec in wanted]
    for spec in specs:
        if specs.count(spec) > 1:
            raise ConfigError("each OOD set once", f"--ood {spec} twice", "leave one out")
    seed, limit = options.run.seed, options.data.limit
    splits = part_splits(options.data, seed)
    evaluation = _part(splits.evaluation, limit, seed)
    if len(np.unique(evaluation.labels)) < 2:
        given = f"{evaluation.name}: {len(evaluation)} images of one class"
        raise DataError("ID images of two classes or more", given, "an audit needs all classes")
    fit = _part(splits.train, options.fit_images, seed)
    held_out = _part(splits.validation, options.fit_images, seed)
    sources = [open_test(spec) for _, spec in wanted]
    names = [source.name for source in sources]
    outliers = tuple(
        OutlierSet(kind, _part(s, limit, seed), s.name if names.count(s.name) == 1 else spec, spec)
        for (kind, spec), s in zip(wanted, sources, strict=True)
    )
    for outlier in outliers:
        _refuse_id_set(outlier, evaluation)
    given = [open_test(spec) for spec in options.shifting.shifts]
    shifted = tuple(_part(s, limit, seed) for s in shifted_sets(given, splits.evaluation))
    asked = options.shifting.real
    real = None if asked is None else open_real(asked, evaluation)
    return Images(fit, held_out, evaluation, outliers, shifted, real)


def _parse(entry: str) -> tuple[str, str]:
    kind, colon, spec = entry.partition(":")
    if kind not in _KINDS or not colon or not spec:
        path = spec if kind.lower() in ("", *_KINDS) and spec else entry
        reason = f"say how alike it is: near:{path} (similar things) or far:{path} (other things)"
        raise ConfigError("an OOD set as near:DATA or far:DATA", f"--ood {entry}", reason)
    return kind, spec


def _part(source: ImageSource, most: int | None, seed: int) -> ImageSource:
    return source if most is None or most >= len(source) else take(source, most, seed)


def shared_classes(outlier: OutlierSet, inside: ImageSource) -> list[str]:
    """Classes of the OOD images that bear the name of an ID class; numbers are not names."""
    known = {_plain(name) for name in inside.classes}
    present = [outlier.source.classes[k] for k in np.unique(outlier.source.labels)]
    return [c for c in present if _plain(c) in known and not c.strip().isdigit()]


def _refuse_id_set(outlier: OutlierSet, inside: ImageSource) -> None:
    same = outlier.source.fingerprint() == inside.fingerprint()
    present = len(np.unique(outlier.source.labels))
    if same or len(shared_classes(outlier, inside)) == present:
        given = f"{outlier.title}, whose every class is an ID class by name"
        reason = "those images are in-distribution; give images of other classes"
        raise DataError("an OOD set", given, reason)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def open_candidates(options: AuditOptions, images: Images, ui: Watcher) -> list[Candidate]:
    """The one or two models; with one model and a reduction, B is A reduced.

    Raises:
        ConfigError: more than two models, two models and a reduction, or a saved model with
            another number of classes than the data.
    """
    reducer = build_reducer(stated_reduction(options.reduction))
    _check_number(options.models, reducer is not None)
    seed, classes = options.run.seed, images.evaluation.classes
    found = [
        _open(letter, name, classes, ui, seed)
        for letter, name in zip("AB", options.models, strict=False)
    ]
    if reducer is not None:
        model = reduce_(copy.deepcopy(found[0].model), reducer)
        print_ = deployed_fingerprint(model, found[0].preprocessing)
        title = f"{found[0].title} with {reducer.name}"
        found.append(Candidate("B", title, model, found[0].preprocessing, print_))
    return found


def _check_number(models: Sequence[str], reduced: bool) -> None:
    if not 1 <= len(models) <= 2:
        given = f"{len(models)}: {', '.join(models)}"
        raise ConfigError("one model or two", given, "compare them two at a time")
    if reduced and len(models) == 2:
        reason = "with two models each keeps its own reduction; leave the flags or B out"
        raise ConfigError("two models as they are", "also a reduction", reason)


def _open(letter: str, name: str, classes: list[str], ui: Watcher, seed: int) -> Candidate:
    saved = saved_folder(name) is not None
    job = open_model(ModelOptions(model=name), None if saved else classes, ui, seed, True)
    if job.model.num_classes != len(classes):
        given = f"{name} with {job.model.num_classes} outputs"
        reason = "give the data that it was trained on, or train its head on these first"
        raise ConfigError(f"a model of the {len(classes)} ID classes", given, reason)
    warnings = [f"{letter}: {note}" for note in job.warnings]
    if not saved:
        warnings.append(f"{letter} ({name}) has random weights: its figures mean nothing")
    warnings += [f"{letter}: {note}" for note in class_notes(job.model, classes)]
    print_ = deployed_fingerprint(job.model, job.preprocessing)
    return Candidate(letter, name, job.model, job.preprocessing, print_, tuple(warnings))


def chosen_scores(options: AuditOptions) -> tuple[str, ...]:
    """The names to compute, in order; with ``gradient`` the gradient scores too.

    Raises:
        UnknownNameError: no score has that name. ConfigError: none, a gradient score without
            ``gradient``, or a detector that can't be made.
    """
    names = tuple(dict.fromkeys(options.scores))
    for name in names:
        if isinstance(score_named(name), GradientScore) and not options.gradient:
            reason = "it takes a backward and a second forward pass; add --gradient to allow that"
            raise ConfigError(f"the score {name}", "no --gradient", reason)
    if options.gradient:
        costly = [name for name in SCORES if issubclass(SCORES.get(name), GradientScore)]
        names = tuple(dict.fromkeys((*names, *costly)))
    if not names:
        raise ConfigError("one score or more", "none", "leave --scores out for the usual ones")
    return names


def image_warnings(images: Images, candidates: Sequence[Candidate]) -> list[str]:
    """What to know about the image sets: shared class names, sizes and colours that change."""
    goals = dict.fromkeys(c.preprocessing for c in candidates)
    found = [note for goal in goals for note in size_notes(images.evaluation, goal)]
    found += few_images(images.evaluation, "ID images")
    for outlier in images.outliers:
        shared = shared_classes(outlier, images.evaluation)
        if shared:
            named = ", ".join(shared[:10])
            found.append(
                f"{outlier.title}: {len(shared)} classes bear the name of ID classes ({named})"
            )
        present = {outlier.source.classes[k] for k in np.unique(outlier.source.labels)}
        if all(name.strip().isdigit() for name in present):
            found.append(
                f"{outlier.title}: classes without names; whether they are ID classes was not checked"
            )
        found += _conversions(outlier, images.evaluation, candidates)
        found += few_images(outlier.source, outlier.title)
    return found


def _conversions(
    outlier: OutlierSet, inside: ImageSource, candidates: Sequence[Candidate]
) -> list[str]:
    shape, ours = first_image(outlier.source).shape, first_image(inside).shape
    found = []
    for goal in dict.fromkeys(c.preprocessing for c in candidates):
        if not goal.fits(shape) and shape != ours:
            given, want = size_in_words(shape), size_in_words((*goal.size, goal.channels))
            found.append(
                f"{outlier.title}: images of {given} become {want}, the ID images are {size_in_words(ours)}; "
                "the conversion leaves traces that a detector may see"
            )
    return found
