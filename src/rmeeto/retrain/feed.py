"""The training images as one endless sequence of batches that can be entered at any step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import from_dict
from ..data import (
    Augment,
    ImageSource,
    Preprocessing,
    SkipReport,
    Subset,
    TrainBatch,
    batches_per_epoch,
    epoch_order,
    get_augment,
    mix,
    soft_targets,
    take,
    train_batches,
)
from ..data.streams import seeds
from ..errors import ConfigError
from .recipe import Recipe
from .world import World


@dataclass(frozen=True)
class Views:
    """Augmented, mixed images on the model's device."""

    images: Tensor
    """(B, C, h, w)."""
    targets: Tensor
    """(B,) int64 labels, or (B, K) probabilities where images are mixed."""
    keys: Tensor
    """(B, 3) int64 on the CPU: image, view seed, mix seed; equal keys are equal images."""

    def __len__(self) -> int:
        return len(self.images)

    def chunks(self, count: int) -> Iterator[Views]:
        """The same views in ``count`` micro-batches."""
        parts = (x.chunk(count) for x in (self.images, self.targets, self.keys))
        return (Views(*part) for part in zip(*parts, strict=True))


class Feed:
    """Batches of this process, for every optimiser step of a run.

    With several processes each epoch's order is dealt out among them, so that together they see
    every image once an epoch.

    Args:
        source: the training images.
        recipe: batch size, augmentation, seed, ….
        preprocessing: the model's.
        device: where batches go.
        world: this process among the others.
    """

    def __init__(
        self,
        source: ImageSource,
        recipe: Recipe,
        preprocessing: Preprocessing,
        device: torch.device,
        world: World,
    ) -> None:
        part = recipe.data_fraction < 1
        self.source = take(source, recipe.data_fraction, recipe.seed) if part else source
        self.augment = resolve_augment(recipe)
        self.skipped = SkipReport()
        self._recipe, self._preprocessing = recipe, preprocessing
        self._device, self._world = device, world
        self._batch = recipe.batch_size // world.size
        self.steps_per_epoch = batches_per_epoch(len(self.source) // world.size, self._batch)
        _check_batch(recipe, len(self.source), world)

    def batches(self, step: int) -> Iterator[Views]:
        """The views of step ``step`` and of all after it; never ends."""
        while True:
            epoch, start = divmod(step, self.steps_per_epoch)
            views = self._recipe.views
            for batch in self._epoch(epoch if views is None else epoch % views, start):
                yield self._prepare(batch)
                step += 1

    def _epoch(self, epoch: int, start: int) -> Iterator[TrainBatch]:
        source, seed, world = self.source, self._recipe.seed, self._world
        if world.size > 1:
            dealt = epoch_order(len(source), seed, epoch)[world.rank :: world.size]
            source = Subset(source, dealt[: len(self.source) // world.size])
            seed = int(seeds(seed, world.rank, epoch)[0])
        return train_batches(
            source,
            self._preprocessing,
            self.augment,
            self._batch,
            seed,
            epoch,
            start,
            repeats=self._recipe.repeats,
            workers=self._recipe.workers,
            skip_report=self.skipped,
        )

    def _prepare(self, batch: TrainBatch) -> Views:
        images = batch.images.to(self._device, non_blocking=True)
        targets = batch.labels.to(self._device, non_blocking=True)
        if self.augment.mixes:
            targets = soft_targets(targets, len(self.source.classes))
            images, targets = mix(images, targets, self.augment, batch.mix_seed)
        mix_seeds = torch.full_like(batch.ids, batch.mix_seed if self.augment.mixes else 0)
        return Views(images, targets, torch.stack([batch.ids, batch.view_seeds, mix_seeds], 1))


def resolve_augment(recipe: Recipe) -> Augment:
    """The recipe's augmentation, by name or by settings."""
    if isinstance(recipe.augment, str):
        return get_augment(recipe.augment)
    return from_dict(Augment, recipe.augment, "augment.")


def _check_batch(recipe: Recipe, images: int, world: World) -> None:
    if recipe.batch_size % world.size:
        raise ConfigError(
            "a batch_size that the processes can share",
            f"batch_size {recipe.batch_size} over {world.size} processes",
            f"choose a multiple of {world.size}",
        )
    if recipe.batch_size > images:
        raise ConfigError(
            f"a batch_size up to the {images} training images",
            f"batch_size {recipe.batch_size}",
            f"choose {images} or less, or a larger data_fraction",
        )
