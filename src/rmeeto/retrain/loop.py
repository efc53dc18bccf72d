"""The training loop, on one page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data import ImageSource, Preprocessing
from ..data.streams import seeds
from .elastic import drawn_share
from .feed import Views
from .precision import compute_type
from .progress import OnEvent
from .recipe import Recipe
from .result import RetrainResult
from .run import Run


def retrain(
    model: nn.Module,
    recipe: Recipe,
    train: ImageSource,
    val: ImageSource | None,
    out_dir: str | Path,
    *,
    preprocessing: Preprocessing,
    teacher: nn.Module | None = None,
    outliers: ImageSource | None = None,
    on_event: OnEvent | None = None,
    resume: bool = True,
) -> RetrainResult:
    """Train ``model`` in place by ``recipe``, from a checkpoint of the same run if there is one.

    A run may be killed at any moment and started again: bounded by steps it ends with the same
    weights, bit for bit, at an equal number of threads. Global random generators stay untouched.

    Args:
        model: with or without a reduction, on the device to train on.
        recipe: how to train.
        train: training images; ``train.classes`` are the model's outputs.
        val: validation images that decide which weights are kept; None keeps the last ones.
        out_dir: folder of ``checkpoint.pt`` and ``log.jsonl``.
        preprocessing: the model's own.
        teacher: the unreduced model to distil from, unless ``recipe.distill_weight`` is 0.
        outliers: auxiliary images of none of the classes, for a recipe with ``trust``; a tenth of
            them is held out and helps to choose the weights to keep. Never give test sets here.
        on_event: called with each `rmeeto.retrain.progress.Event`.
        resume: go on from the checkpoint in ``out_dir``; False replaces it.

    Returns:
        What happened; the model holds the kept weights and is in evaluation mode.

    Raises:
        ConfigError: the checkpoint is of another run, or settings do not fit model or data.
        NonFiniteLossError: training diverged; the last good checkpoint stays.
        StorageError: a file could not be written; the previous checkpoint stays.

    Source: R-MeeTo (arXiv 2412.12496), section 4; differs in: see `rmeeto.retrain.PRESETS`.
    """
    run = Run(model, recipe, train, val, Path(out_dir), preprocessing, teacher, outliers, on_event)
    finished = run.open(resume)
    if finished is not None:
        return finished
    model.train()
    state, budget = run.state, run.budget
    batches = run.feed.batches(state.step)
    others = repeat(None) if run.trust is None else run.trust.feed.batches(state.step)
    while run.stop() is None:
        step = state.step
        lr = run.learning_rate(step, budget.fraction(step))
        shares = accumulate_gradients(run, next(batches), next(others))
        grad_norm = state.update(lr, recipe.clip_grad, run.world)
        run.meter.add(step, lr, shares, grad_norm)
        run.after_step()
    return run.finish()


def accumulate_gradients(run: Run, views: Views, others: Views | None = None) -> dict[str, Tensor]:
    """Add up the gradients of one optimiser step, micro-batch by micro-batch.

    Each micro-batch counts by its share of the whole batch, so that the sum over micro-batches
    and processes is the gradient of the mean over the batch.

    Args:
        run: the parts of the training.
        views: images of a whole batch.
        others: outliers of this step, or None.

    Returns:
        this process's share of each loss and of ``accuracy``, detached scalars.
    """
    recipe, state = run.recipe, run.state
    total: dict[str, Tensor] = {}
    progress = run.budget.fraction(state.step)
    micros = zip(views.chunks(recipe.accumulate), _chunks(others, recipe.accumulate), strict=False)
    for index, (micro, outliers) in enumerate(micros):
        share = len(micro) / recipe.batch_size
        if hasattr(state.model, "seed_drop_path"):
            seed = seeds(recipe.seed, state.step, index, run.world.rank)[0]
            state.model.seed_drop_path(int(seed))  # type: ignore[operator]
        with (
            compute_type(micro.images.device, recipe.precision),
            drawn_share(state.model, recipe, state.step, index, run.world.rank),
        ):
            losses, logits = run.criterion(state.model, micro, outliers, progress)
        (losses["loss"] * share).backward()
        losses["accuracy"] = _accuracy(logits, micro.targets)
        for name, value in losses.items():
            total[name] = total.get(name, 0.0) + value.detach() * share
    return total


def _chunks(views: Views | None, count: int) -> Iterator[Views | None]:
    return repeat(None) if views is None else views.chunks(count)


@torch.no_grad()
def _accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    labels = targets.argmax(1) if targets.is_floating_point() else targets
    return (logits.argmax(1) == labels).float().mean()
