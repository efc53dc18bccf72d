"""`Recipe`: every setting of a re-training, saved with the run and loadable from TOML."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..config import load_toml, to_dict, to_toml
from ..errors import ConfigError

REFERENCE_BATCH = 512
"""The batch that ``lr`` refers to when ``scale_lr`` is on."""

OPERATIONAL = frozenset({"workers", "checkpoint_every", "checkpoint_seconds", "eval_batch_size"})
"""Settings that do not change the result: a run may be resumed with other values of these."""


@dataclass(frozen=True)
class Recipe:
    """How to train: length, optimiser, objective, data and what to keep.

    At least one of ``epochs``, ``max_steps`` and ``minutes`` bounds the run; the first one reached
    ends it. A run bounded by steps is reproducible bit for bit; one stopped by the clock is not.
    """

    epochs: float | None = None
    """Passes over the training images (an epoch is ⌊images/batch⌋ steps)."""
    max_steps: int | None = None
    """Optimiser steps."""
    minutes: float | None = None
    """Wall time for training, validation and checkpoints together; the schedule ends with it."""
    batch_size: int = 512
    """Images an optimiser step, over all micro-batches and processes."""
    accumulate: int = 1
    """Micro-batches that a batch is computed in: same gradient, less memory."""
    lr: float = 2e-5
    """Peak learning rate, for a batch of 512 if ``scale_lr``."""
    scale_lr: bool = True
    """Multiply ``lr`` by batch_size / 512."""
    min_lr: float = 1e-6
    """Learning rate at the end of the cosine, never scaled."""
    warmup: float = 0.0
    """Linear warm-up: a share of the run if below 1, else optimiser steps."""
    weight_decay: float = 0.05
    """Decoupled decay of matrices; not of biases, vectors and what the model exempts."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two moments."""
    eps: float = 1e-8
    """Added to AdamW's denominator."""
    clip_grad: float | None = None
    """Largest norm of the whole gradient."""
    smoothing: float | None = None
    """Label smoothing; none = the augmentation's."""
    logit_norm: float | None = None
    """Temperature τ of LogitNorm, in the place of the cross-entropy: confidence no longer grows with the
    length of the logits, outliers are not needed; 0.04 is usual. None = plain cross-entropy."""
    distill_weight: float = 0.5
    """Weight of the distillation from the unreduced model; used when a teacher is given."""
    distill_temperature: float = 1.0
    """Softness of the distillation."""
    trust: dict[str, Any] | None = None
    """Settings of `rmeeto.objectives.TrustObjective`, for a re-training with outliers; none = without.
    Smoothing, LogitNorm and distillation are the recipe's unless they are set here."""
    outlier_batch: int | None = None
    """Outliers a step (with ``trust``); none = as many as images."""
    max_drop: float | None = None
    """Stop, and go back to the best weights, once validation accuracy is this many points below the best."""
    max_class_drop: float | None = None
    """Points of validation accuracy that no class may lose against the unreduced model (the teacher). Classes beyond
    it count more in the loss, weights within it are kept before all others, and the run stops and goes back once a
    class is down by twice as much after all were within."""
    augment: str | dict[str, Any] = "rmeeto"
    """Name of an augmentation, or settings of `rmeeto.data.Augment`."""
    repeats: int | None = None
    """Views an epoch of unchanged length has of each image it draws; none = the augmentation's."""
    views: int | None = None
    """Cycle through this many epochs of views, so that the teacher runs once a view (cached)."""
    ema_decay: float | None = None
    """Decay of the weights' moving average, updated every step; none = no average."""
    ema_warmup: bool = True
    """Cap the decay at (1 + t)/(10 + t) in step t, so that short runs have a useful average."""
    drop_path: float | None = None
    """Stochastic depth; none = what the model was built with."""
    elastic: bool = False
    """Each step removes a random share of the schedule's tokens, from none to all: the model learns to
    serve every r up to the schedule's. Validation takes the whole schedule."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Compute type of the forward pass; weights, moments and average stay fp32. "auto": bf16 on GPUs
    and CPUs whose matrix products it makes faster, else fp32."""
    data_fraction: float = 1.0
    """Share of the training images, a balanced draw; validation stays whole."""
    seed: int = 0
    """Seed of order, augmentation, stochastic depth and subset."""
    validate_every: int | None = None
    """Steps between validations; none = each epoch (a timed run skips some to save time)."""
    keep: Literal["best", "last", "ema"] = "best"
    """Weights that the model ends with; best = the latest, averaged or not, whose validation
    accuracy is within one standard error of the highest."""
    log_every: int = 20
    """Steps a line of the log stands for."""
    checkpoint_every: int | None = None
    """Steps between checkpoints, besides ``checkpoint_seconds``."""
    checkpoint_seconds: float | None = 120.0
    """Seconds between checkpoints."""
    eval_batch_size: int | None = None
    """Images a forward pass in validation; none = as in training."""
    workers: int = 0
    """Processes that load images."""

    def __post_init__(self) -> None:
        if self.epochs is None and self.max_steps is None and self.minutes is None:
            raise ConfigError(
                "a length for the re-training",
                "no epochs, max_steps or minutes",
                "give at least one of them, for example epochs = 3",
            )
        for fits, wanted, names in _RANGES:
            for name in names:
                value = getattr(self, name)
                if value is not None and not fits(value):
                    reason = f"change the recipe's {name}"
                    raise ConfigError(f"{name} {wanted}", repr(value), reason)
        _check_pairs(self)

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the run."""
        return self.lr * self.batch_size / REFERENCE_BATCH if self.scale_lr else self.lr

    @property
    def micro_batch(self) -> int:
        """Images a forward pass, on one process."""
        return self.batch_size // self.accumulate

    def changed(self, **settings: Any) -> Recipe:
        """A copy with other settings; an unknown one is a `ConfigError`."""
        known = [f.name for f in fields(self)]
        for name in settings:
            if name not in known:
                raise ConfigError("a setting of Recipe", name, f"known: {', '.join(known)}")
        return replace(self, **settings)

    def decisive(self) -> dict[str, Any]:
        """The settings that decide the result, as plain values; the rest may change on resume."""
        return {k: v for k, v in to_dict(self).items() if k not in OPERATIONAL}


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _not_negative(value: float) -> bool:
    return 0 <= value < math.inf


def _share(value: float) -> bool:
    return 0 <= value < 1


_RANGES = (
    (
        _positive,
        "above 0",
        (
            "epochs",
            "max_steps",
            "minutes",
            "batch_size",
            "accumulate",
            "max_drop",
            "max_class_drop",
        ),
    ),
    (_positive, "above 0", ("lr", "eps", "clip_grad", "distill_temperature", "logit_norm", "repeats", "views")),
    (
        _positive,
        "above 0",
        ("validate_every", "log_every", "checkpoint_every", "eval_batch_size", "outlier_batch"),
    ),
    (
        _not_negative,
        "of 0 or more",
        ("min_lr", "warmup", "weight_decay", "distill_weight", "checkpoint_seconds", "workers"),
    ),
    (_share, "in [0, 1)", ("smoothing", "ema_decay", "drop_path")),
    (lambda v: 0 < v <= 1, "in (0, 1]", ("data_fraction",)),
    (lambda v: len(v) == 2 and all(map(_share, v)), "of two numbers in [0, 1)", ("betas",)),
    (lambda v: v in ("fp32", "bf16", "auto"), "fp32, bf16 or auto", ("precision",)),
    (lambda v: v in ("best", "last", "ema"), "best, last or ema", ("keep",)),
)


def _check_pairs(recipe: Recipe) -> None:
    """Refuse settings that contradict each other."""
    if recipe.batch_size % recipe.accumulate:
        raise ConfigError(
            "accumulate to divide batch_size",
            f"accumulate {recipe.accumulate}, batch_size {recipe.batch_size}",
            "micro-batches must be equal; choose a divisor of batch_size",
        )
    if recipe.min_lr > recipe.peak_lr:
        scaled = f" (lr scaled by {recipe.batch_size} / 512)" if recipe.scale_lr else ""
        raise ConfigError(
            "min_lr below the peak learning rate",
            f"min_lr {recipe.min_lr:g}, peak {recipe.peak_lr:g}{scaled}",
            "the cosine falls from lr to min_lr; lower min_lr or raise lr",
        )
    if recipe.keep == "ema" and recipe.ema_decay is None:
        raise ConfigError(
            "keep = ema",
            "no ema_decay",
            "there is no average to keep; set ema_decay = 0.999 or keep = best",
        )


@dataclass(frozen=True)
class RecipeFile:
    """A re-training as a file: the recipe, and what it was made for."""

    recipe: Recipe
    """How to train."""
    about: str = ""
    """One line: what the file reproduces."""
    reduction: dict[str, Any] = field(default_factory=dict)
    """Reducer ``name`` and its settings."""
    model: dict[str, Any] = field(default_factory=dict)
    """Model ``name``, ``weights`` and overrides; the caller may replace them."""
    data: dict[str, Any] = field(default_factory=dict)
    """Data ``name`` and hints; the caller may replace them."""

    @classmethod
    def load(cls, path: str | Path) -> RecipeFile:
        """Read a TOML file with a ``[recipe]`` table."""
        return load_toml(cls, path)

    def to_toml(self) -> str:
        """The file's text; `load` gives back an equal value."""
        return to_toml(to_dict(self))
