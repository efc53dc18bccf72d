"""From options to the things that a workflow works with: model, images, reducer, recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..backbones import Backbone, create_model, load_model, weights_fingerprint
from ..config import fingerprint, to_dict
from ..data import (
    ImageSource,
    Preprocessing,
    Subset,
    available_splits,
    cache,
    open_source,
    split_validation,
)
from ..errors import ConfigError
from ..reducers import REDUCERS, reducer_to_dict
from ..retrain import Recipe, RecipeFile, preset
from ..tokens import restore_
from .allocator import keep_freed_memory
from .options import DataOptions, ModelOptions, ReductionOptions, RetrainOptions, RunOptions
from .stated import class_notes, require_classes
from .ui import Watcher

Sites = str | int | tuple[int, ...] | None
"""Sites as reducers take them."""

DEMO_MODEL = Path(__file__).parent.parent / "assets" / "demo_model"
_DEFAULT_R = 11


@dataclass(frozen=True)
class Job:
    """A model with the images that it expects.

    Args:
        model: in eval mode, without a reduction.
        preprocessing: what the model's images go through.
        warnings: what the user should know about the loading.
        identity: fingerprint of weights and configuration.
    """

    model: Backbone
    preprocessing: Preprocessing
    warnings: tuple[str, ...]
    identity: str


def open_model(
    options: ModelOptions,
    classes: list[str] | None,
    ui: Watcher,
    seed: int = 0,
    keep_reduction: bool = False,
    **overrides: Any,
) -> Job:
    """Load or create the model; its head is replaced when ``classes`` do not fit, and that is said.

    Raises:
        UnknownNameError, WeightsError: no such model, or a checkpoint that does not fit.
    """
    if options.img_size is not None:
        overrides["img_size"] = options.img_size
    folder = saved_folder(options.model)
    notes: list[str] = []
    if folder is not None:
        model = load_model(folder)
        if overrides or options.weights:
            raise ConfigError(
                f"the saved model {options.model} as it is",
                "also " + ", ".join(["--weights"] * bool(options.weights) + list(overrides)),
                "a saved model brings its own; give a model name to use those settings",
            )
        if classes is not None and model.num_classes != len(classes):
            notes.append(f"head of {model.num_classes} classes replaced for {len(classes)} classes")
            model.reset_classifier(len(classes))
        notes += class_notes(model, classes or ())
    else:
        if classes is not None:
            overrides.setdefault("num_classes", len(classes))
        model = create_model(
            options.model, options.weights, ema=options.ema, seed=seed, **overrides
        )
        if model.load_report is not None:
            notes += model.load_report.warnings()
    if model.reduction is not None and not keep_reduction:
        notes.append("the saved model's own reduction was taken off, to start from the full model")
        restore_(model)
    for note in notes:
        ui.note(note)
    model.eval()
    return Job(
        model, Preprocessing(**model.config.preprocessing), tuple(notes), weights_fingerprint(model)
    )


def saved_folder(model: str) -> Path | None:
    """The folder that ``model`` was saved to, or None where it is a model's name."""
    folder = DEMO_MODEL if model == "demo" else Path(model)
    return folder if (folder / "config.json").exists() else None


@dataclass(frozen=True)
class Splits:
    """Images to train on, to choose on, and to report on."""

    train: ImageSource
    validation: ImageSource
    evaluation: ImageSource

    def identity(self) -> str:
        """Fingerprint of all three."""
        return fingerprint(
            [s.fingerprint() for s in (self.train, self.validation, self.evaluation)]
        )


def open_evaluation(options: DataOptions) -> ImageSource:
    """The images that results are reported on (`open_test`), the first ``options.limit`` of them."""
    return _first(require_classes(open_test(options.data)), options.limit)


def open_test(data: str) -> ImageSource:
    """The images of a set that results are reported on: the test split, else val, else all."""
    found = available_splits(data)
    return open_source(data, next((split for split in ("test", "val") if split in found), "test"))


def open_splits(options: DataOptions, seed: int) -> Splits:
    """`part_splits` with ``options.limit``, decoded into memory where they fit."""
    parts = part_splits(options, seed)
    evaluation = _first(parts.evaluation, options.limit)
    return Splits(cache(parts.train), cache(parts.validation), cache(evaluation))


def part_splits(options: DataOptions, seed: int) -> Splits:
    """Training, validation and evaluation images; no image is in two of them.

    Data without a split of its own for validation, or for evaluation, has it split off the
    training images (``options.validation`` of them each), the same way for the same seed.
    """
    found = available_splits(options.data)
    train = require_classes(open_source(options.data, "train"))
    if "test" in found or "val" in found:
        evaluation = open_source(options.data, "test" if "test" in found else "val")
    else:
        train, evaluation = split_validation(train, options.validation, seed)
    if "test" in found and "val" in found:
        validation = open_source(options.data, "val")
    else:
        train, validation = split_validation(train, options.validation, seed + 1)
    return Splits(train, validation, evaluation)


def _first(source: ImageSource, limit: int | None) -> ImageSource:
    return Subset(source, range(min(limit, len(source)))) if limit else source


_GOALS = ("r", "ratio", "final_tokens", "gflops")
"""Settings that say how far to reduce."""


def stated_reduction(options: ReductionOptions) -> ReductionOptions:
    """For commands that reduce nothing by default: how far, without a method, means merging by R-MeeTo.

    Raises:
        ConfigError: no method and no goal, and yet a setting of a reduction.
    """
    if options.method != "none":
        return options
    if any(getattr(options, goal) is not None for goal in _GOALS):
        return dataclasses.replace(options, method="rmeeto")
    for name in ("sites", "metric", "compat"):
        if getattr(options, name) is not None:
            reason = "nothing is reduced; add --r, --ratio, --final-tokens or --gflops, or a --method"
            raise ConfigError(f"--{name}", str(getattr(options, name)), reason)
    return options


def build_reducer(options: ReductionOptions):
    """The reducer config that the flags describe, or None for method "none"."""
    if options.method == "none":
        return None
    cls = REDUCERS.get(options.method)
    targets = {k: getattr(options, k) for k in _GOALS}
    given = {k: v for k, v in targets.items() if v is not None} or {"r": _DEFAULT_R}
    given |= {
        k: getattr(options, k) for k in ("metric", "compat") if getattr(options, k) is not None
    }
    known = {f.name for f in dataclasses.fields(cls)}
    for name in set(given) - known:
        raise ConfigError(
            f"--{name.replace('_', '-')} with --method {options.method}",
            str(given[name]),
            "that method has no such setting; leave it out, or use --method rmeeto",
        )
    return cls(**given, sites=parse_sites(options.sites))


def deployed_fingerprint(model: Backbone, preprocessing: Preprocessing) -> str:
    """Sixteen hex digits that change with the weights, the reduction or the preprocessing."""
    reduction = model.reduction
    reducer = None if reduction is None else reducer_to_dict(reduction.config)
    return fingerprint([weights_fingerprint(model), reducer, to_dict(preprocessing)])


def parse_sites(text: Sites) -> Sites:
    """ "even" stays a word, "4" is an interval, "2,4,8" a list of layers, "1," the layer 1 alone.

    From Python the numbers themselves will do: 4, or (2, 4, 8), or (1,).
    """
    if text is None or isinstance(text, int) or text in ("even", "odd", "all"):
        return text
    if not isinstance(text, str):
        return tuple(text)
    try:
        if "," not in text:
            return int(text)
        return tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        reason = "write even, odd, all, an interval such as 4, or layers such as 2,4,8 or 1,"
        raise ConfigError("--sites", text, reason) from None


def build_recipe(options: RetrainOptions, seed: int) -> Recipe:
    """The preset or file, with the flags' changes."""
    path = Path(options.recipe)
    if path.suffix in (".toml", ".json"):
        recipe = RecipeFile.load(path).recipe
    else:
        recipe = preset(options.recipe)
    names = {"train_batch_size": "batch_size"}
    changes = {
        names.get(f.name, f.name): getattr(options, f.name)
        for f in dataclasses.fields(options)
        if f.name != "recipe" and getattr(options, f.name) is not None
    }
    return recipe.changed(**changes, seed=seed)


def settle(options: RunOptions) -> None:
    """Prepare the process: memory stays in it, torch gets the thread count that was asked for."""
    keep_freed_memory()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
