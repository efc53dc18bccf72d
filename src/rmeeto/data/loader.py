"""Batches of a source, for evaluation in order and for training in a seeded order."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from .augment import Augment
from .preprocessing import Preprocessing
from .skipping import SkipReport
from .sources import ImageSource
from .streams import Stream, generator, seeds
from .subsets import pixels
from .views import fit_batch, make_views

if TYPE_CHECKING:  # torch is imported when the first batch is made: settings alone need none of it
    from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images for evaluation."""

    images: Tensor
    """(B, C, h, w) float32, normalised."""
    labels: Tensor
    """(B,) int64."""
    ids: Tensor
    """(B,) int64, positions in the source."""


@dataclass(frozen=True)
class TrainBatch(Batch):
    """Augmented images; mixing is left to `mix` with ``mix_seed``."""

    view_seeds: Tensor
    """(B,) int64; with the id, all that a view depends on."""
    mix_seed: int
    """Seed for `mix`."""


class _Read(NamedTuple):
    batch: Batch | None
    """None where no image was left."""
    bad: list[str]
    """Names of corrupt images met."""


class _Plan(Protocol):
    """Batch number → batch: pure, so it may run in any process and in any order."""

    skips: ClassVar[bool]
    """Whether a batch may be left out because all of its images are corrupt."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> _Read: ...


@dataclass(frozen=True)
class _EvalPlan:
    skips: ClassVar[bool] = True
    source: ImageSource
    preprocessing: Preprocessing
    batch_size: int

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, number: int) -> _Read:
        start = number * self.batch_size
        ids = np.arange(start, min(start + self.batch_size, len(self.source)))
        images, ids, bad = _read(self.source, ids)
        if not len(ids):
            return _Read(None, bad)
        inputs = self.preprocessing.normalise(fit_batch(images, self.preprocessing))
        images, labels, ids = _tensors(inputs, self.source.labels[ids], ids)
        return _Read(Batch(images, labels, ids), bad)


@dataclass(frozen=True)
class _TrainPlan:
    skips: ClassVar[bool] = False
    source: ImageSource
    preprocessing: Preprocessing
    augment: Augment
    batch_size: int
    seed: int
    epoch: int
    order: NDArray[np.int64]
    drop_last: bool
    patience: int
    """Corrupt images in a row after which no replacement is looked for."""

    def __len__(self) -> int:
        return batches_per_epoch(len(self.order), self.batch_size, self.drop_last)

    def __getitem__(self, number: int) -> _Read:
        start = number * self.batch_size
        places = np.arange(start, min(start + self.batch_size, len(self.order)))
        images, ids, bad = _read(self.source, self.order[places], self.patience)
        if len(ids) < len(places):
            return _Read(None, bad)
        view_seeds = seeds(self.seed, self.epoch, int(Stream.VIEW), places)
        views = make_views(images, self.preprocessing, self.augment, view_seeds)
        images, labels, ids, view_seeds = _tensors(views, self.source.labels[ids], ids, view_seeds)
        mix_seed = int(seeds(self.seed, self.epoch, int(Stream.MIX), number)[0])
        return _Read(TrainBatch(images, labels, ids, view_seeds, mix_seed), bad)


def eval_batches(
    source: ImageSource,
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int = 0,
    skip_report: SkipReport | None = None,
) -> Iterator[Batch]:
    """All images of a source in order; corrupt ones are left out and noted.

    Args:
        source: the images.
        preprocessing: the model's own.
        batch_size: images a batch; the last one may be smaller.
        workers: processes that decode; 0 = this one. The batches are the same.
        skip_report: notes corrupt images; None = a fresh one with the default limit.

    Raises:
        DataError: more corrupt images than the report allows.
    """
    _check(batch_size, workers)
    plan = _EvalPlan(source, preprocessing, batch_size)
    return _run(plan, source, 0, workers, skip_report or SkipReport())


def train_batches(
    source: ImageSource,
    preprocessing: Preprocessing,
    augment: Augment,
    batch_size: int,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    repeats: int | None = None,
    drop_last: bool = True,
    workers: int = 0,
    skip_report: SkipReport | None = None,
) -> Iterator[TrainBatch]:
    """One epoch of augmented images in a seeded order.

    A view depends on its image and on (seed, epoch, place in the epoch) only: starting at any
    batch gives the batches that a whole epoch would have given from there, bit for bit. A corrupt
    image is replaced by the next good one of the source and noted.

    Args:
        source: the images.
        preprocessing: the model's own.
        augment: what happens to each image.
        batch_size: images a batch.
        seed: of the run.
        epoch: counted from 0.
        start_batch: first batch to make.
        repeats: how often an epoch draws each image it draws, in a row; None = the augmentation's.
            The epoch's length stays: with 3, an epoch shows a third of the images.
        drop_last: leave an incomplete last batch out.
        workers: processes that decode and augment; 0 = this one. The batches are the same.
        skip_report: notes corrupt images; None = a fresh one with the default limit.

    Raises:
        ConfigError: no batch fits.
        DataError: more corrupt images than the report allows.
    """
    _check(batch_size, workers)
    report = skip_report or SkipReport()
    order = epoch_order(len(source), seed, epoch, repeats or augment.repeats)
    patience = report.limit(len(source))
    plan = _TrainPlan(
        source, preprocessing, augment, batch_size, seed, epoch, order, drop_last, patience
    )
    if not len(plan):
        raise ConfigError(
            f"a batch size up to the {len(source)} images of {source.name}",
            str(batch_size),
            "lower it, or keep the incomplete batch with drop_last=False",
        )
    return _run(plan, source, start_batch, workers, report)  # type: ignore[return-value]


def batches_per_epoch(images: int, batch_size: int, drop_last: bool = True) -> int:
    """Batches in an epoch of so many images."""
    return images // batch_size if drop_last else math.ceil(images / batch_size)


def epoch_order(count: int, seed: int, epoch: int, repeats: int = 1) -> NDArray[np.int64]:
    """Positions in the order in which an epoch draws them, (count,) int64.

    A permutation of its own for each epoch; with ``repeats`` each position stands that often in
    a row and the order is cut at ``count``.

    Source: Hoffer et al., "Augment your batch" (arXiv:1901.09335), Sec. 3; differs in: the epoch
    keeps its length, as in the recipe's sampler.
    """
    order = generator(seed, epoch, Stream.ORDER).permutation(count)
    return np.repeat(order[: math.ceil(count / repeats)], repeats)[:count]


def _check(batch_size: int, workers: int) -> None:
    if batch_size < 1 or workers < 0:
        given = f"batch_size {batch_size}, workers {workers}"
        raise ConfigError(
            "batch_size of 1 or more and workers of 0 or more", given, "e.g. 64 and 0"
        )


def _run(
    plan: _Plan, source: ImageSource, start: int, workers: int, report: SkipReport
) -> Iterator:
    report.total = max(report.total, len(source))
    numbers = range(start, len(plan))
    with closing(_reads(plan, numbers, workers)) as reads:  # ends the processes at once
        for batch, bad in reads:
            report.add(bad)
            if batch is not None:
                yield batch
            elif not plan.skips:
                raise report.too_many()


def _reads(plan: _Plan, numbers: range, workers: int) -> Generator[_Read, None, None]:
    if not workers:
        yield from (plan[number] for number in numbers)
        return
    import torch
    from torch.utils.data import DataLoader

    yield from DataLoader(
        plan,  # type: ignore[arg-type]
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]
        generator=torch.Generator().manual_seed(0),  # else it draws from the global one
    )


def _as_it_is(read: _Read) -> _Read:
    return read


def _read(
    source: ImageSource, ids: NDArray[np.int64], patience: int = 0
) -> tuple[NDArray[np.uint8] | list[NDArray[np.uint8]], NDArray[np.int64], list[str]]:
    """Images at ``ids``; a corrupt one is dropped, or with patience replaced by the next good."""
    stored = pixels(source)
    if stored is not None:
        array, positions = stored
        return array[ids if positions is None else positions[ids]], ids, []
    images, kept, bad = [], [], []
    for first in ids.tolist():
        for index in range(first, first + max(1, patience)):
            index %= len(source)
            try:
                images.append(source.image(index))
            except DataError:
                bad.append(source.item_name(index))
                continue
            kept.append(index)
            break
    return images, np.asarray(kept, np.int64), bad


def _tensors(*arrays: NDArray) -> list[Tensor]:
    import torch

    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
