"""Errors on corrupted ID images: what is corrupted, what it costs, the passes, and their lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...data import (
    BACKGROUNDS,
    CORRUPTIONS,
    SEVERITIES,
    ImageSource,
    available_splits,
    cache,
    masks_of,
    open_source,
    take,
)
from ...errors import ConfigError, ShapeError, unknown_name
from ...evaluation import (
    CorruptionErrors,
    bootstrap,
    corrupted_sets,
    corruption_estimates,
    first_image,
    gather_errors,
    names_for,
)
from ...evaluation.corrupted import Cells
from ...reporting import Point, Series
from ..options import CorruptionOptions
from ..ui import Bar, Watcher
from .extra import Extra
from .inputs import Candidate
from .lines import FAMILIES, Line, average, line_of
from .outputs import Keeper
from .tables import corruption_table

_WORDS = {"common": ("common",), "extra": ("extra",), "all": ("common", "extra")}


@dataclass(frozen=True, eq=False)
class Corruptions:
    """The corrupted images of an audit."""

    images: ImageSource
    """ID images as they are."""
    names: dict[str, list[str]]
    """Family → corruptions of it."""
    severities: tuple[int, ...]
    cells: Cells
    """Every corruption at every severity."""
    seconds: float
    """What making one image of each cell takes."""
    masks: ImageSource | None = None
    """Of the images' foreground, where backgrounds are edited."""

    @property
    def about(self) -> str:
        """Images and severities in words."""
        listed = ", ".join(map(str, self.severities))
        return f"{len(self.images)} images, severities {listed}"


def open_corruptions(
    options: CorruptionOptions, evaluation: ImageSource, seed: int
) -> Corruptions | None:
    """The corrupted sets that were asked for, or None.

    Raises:
        UnknownNameError: no corruption, or word for several, of that name.
        ConfigError: severities out of 1 to 5, no images, or settings of corruptions without any.
        ShapeError: a corruption that changes colours, for grey images.
        DataError: masks that can't be read or that don't fit the images.
    """
    usual = CorruptionOptions()
    for flag, name in (
        ("--severities", "severities"),
        ("--corruption-images", "corruption_images"),
    ):
        given = getattr(options, name)
        if not options.asked and given != getattr(usual, name):
            reason = "it belongs to --corruptions, --perspective and --masks; add one of them"
            raise ConfigError(flag, str(given), reason)
    if not options.asked:
        return None
    severities = tuple(sorted(set(options.severities)))
    if not severities or not set(severities) <= set(SEVERITIES):
        given = " ".join(map(str, options.severities)) or "none"
        raise ConfigError("--severities from 1 to 5", given, "1 is weak, 5 is strong")
    if options.corruption_images < 1:
        given = str(options.corruption_images)
        raise ConfigError("--corruption-images of 1 or more", given, "1000 is the usual number")
    names = _names(options, evaluation)
    images = take(evaluation, min(options.corruption_images, len(evaluation)), seed)
    masks = None if options.masks is None else masks_of(images, _open_masks(options.masks))
    every = [name for family in names.values() for name in family]
    cells = corrupted_sets(images, every, severities, seed, masks)
    return Corruptions(images, names, severities, cells, _making(cells), masks)


def _open_masks(data: str) -> ImageSource:
    """Masks of the evaluation images; of all images where those are split off the training images."""
    found = available_splits(data)
    split = next((split for split in ("test", "val", "train") if split in found), "test")
    return open_source(data, split)


def _names(options: CorruptionOptions, source: ImageSource) -> dict[str, list[str]]:
    """Family → names, each once; families without any are left out."""
    found: list[str] = []
    asked = options.corruptions
    for word in ("common",) if asked == () else asked or ():
        if word not in _WORDS and word not in CORRUPTIONS:
            raise unknown_name("corruption", word, [*_WORDS, *CORRUPTIONS.names()])
        families = _WORDS.get(word, ())
        found += [n for f in families for n in names_for(source, f)] if families else [word]
    if options.perspective:
        found += names_for(source, "perspective")
    turned = [n for n in dict.fromkeys(found) if CORRUPTIONS.get(n).family == "perspective"]
    others = [n for n in dict.fromkeys(found) if n not in turned]
    edited = [] if options.masks is None else [*BACKGROUNDS]
    return {f: n for f, n in zip(FAMILIES, (others, turned, edited), strict=True) if n}


def _making(cells: Cells) -> float:
    """Seconds that one image of each cell takes with reading it, timed once a corruption."""
    seconds = 0.0
    timed: dict[str, float] = {}
    for (name, _), made in cells.items():
        if name not in timed:
            first_image(made)  # the first time may load something
            began = time.perf_counter()
            first_image(made)
            timed[name] = time.perf_counter() - began
        seconds += timed[name]
    return seconds


def missing(keeper: Keeper, candidates: Sequence[Candidate], found: Corruptions) -> int:
    """Passes that are not kept yet."""
    sets = [found.images, *found.cells.values()]
    return sum(not keeper.knows_wrong(c, s) for c in candidates for s in sets)


def measure_errors(
    keeper: Keeper, candidates: Sequence[Candidate], found: Corruptions, ui: Watcher
) -> list[CorruptionErrors]:
    """Each model's errors, clean and corrupted; passes that are not kept are made.

    Raises:
        StaleStatisticsError: kept answers of another model. DataError: images that come and go.
    """
    sets = [found.images, *found.cells.values()]
    with ui.bar("corruptions") as bar:
        for k, source in enumerate(sets):
            due = [c for c in candidates if not keeper.knows_wrong(c, source)]
            shared = len(due) > 1 and not keeper.data.workers  # made once for both models
            images = cache(source) if shared else source
            for j, candidate in enumerate(due):
                text = f"{candidate.letter} on {source.name}"
                keeper.wrong(candidate, images, partial(_tell, bar, k + j / 2, len(sets), text))
            bar.update(k + 1, len(sets), f"{k + 1}/{len(sets)} sets")
    return [
        gather_errors(found.images, found.cells, lambda s, c=c: keeper.wrong(c, s))
        for c in candidates
    ]


def _tell(bar: Bar, before: float, sets: int, text: str, done: int, of: int) -> None:
    """Half a set is one model's pass."""
    bar.update(before + done / of / 2, sets, text)


def corruption_lines(
    errors: Sequence[CorruptionErrors], names: Mapping[str, list[str]], seed: int, draws: int
) -> tuple[dict[str, list[Line]], list[str]]:
    """Lines by family: clean, each corruption, their mean, and with two models the mCE; and notes.

    The reference of the mCE is A: a corruption that costs A nothing leaves it without a value,
    which is noted.
    """
    lines: dict[str, list[Line]] = {}
    notes = []
    for family, own in names.items():
        parts = [CorruptionErrors(e.clean, {n: e.wrong[n] for n in own}, e.ids) for e in errors]
        titles = {"clean_error": "clean", **{n: f"corrupted: {n}" for n in own}}
        titles["mean_error"] = average(family)
        found = corruption_estimates(parts, parts[0], tuple(titles), seed, draws)
        lines[family] = [
            line_of(title, "", "error", "lower", [each[name] for each in found], "%")
            for name, title in titles.items()
        ]
        if len(parts) < 2:
            continue
        try:
            ratios = corruption_estimates(parts, parts[0], ("mce",), seed, draws)
        except ShapeError as error:
            notes.append(f"no error relative to A under {family}: {error.given} costs A nothing")
            continue
        mce = [each["mce"] for each in ratios]
        lines[family].append(line_of(average(family), "", "mce", "lower", mce, "%"))
    return lines, notes


def corruption_extra(
    found: Corruptions, errors: Sequence[CorruptionErrors], seed: int, draws: int
) -> Extra:
    """The lines, and for each family a table and error over severity as one curve a model."""
    lines, notes = corruption_lines(errors, found.names, seed, draws)
    tables = [corruption_table(own, family, found.about) for family, own in lines.items()]
    series = [
        Series(letter, "severity (0: as they are)", "error (%)",
               _points(found.severities, e, found.names[family], seed), "line",
               f"Error against severity, {family}")
        for family in lines
        for letter, e in zip("AB", errors, strict=False)
    ]  # fmt: skip
    flat = dict.fromkeys(
        line for own in lines.values() for line in own
    )  # "clean" is in each family
    return Extra(tuple(flat), tables=tables, series=series, notes=notes)


def _points(
    severities: Sequence[int], errors: CorruptionErrors, names: Sequence[str], seed: int
) -> tuple[Point, ...]:
    """Error at each severity, mean over a family, with its interval over images."""
    mean = np.mean([errors.wrong[name] for name in names], axis=0)
    intervals = [bootstrap(row, seed) for row in (errors.clean, *mean)]
    return tuple(
        Point(x, i.value, i.low, i.high) for x, i in zip((0, *severities), intervals, strict=True)
    )
