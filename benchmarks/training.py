"""A whole training step: forward, backward, AdamW, with the native kernels and with the unbind loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.nn import functional as F

from rmeeto import create_model
from rmeeto.profiling import NoiseInput

from .models import VIM, disagreement, naive
from .registry import Benchmark, Case, Work

MICRO = "vim_micro_patch2_28"


def training_step(model_name: str, batch: int) -> Work:
    """One step of a new model on noise."""
    model = create_model(model_name)
    config = model.config
    images, labels = NoiseInput(config.img_size, config.in_chans)(batch), torch.zeros(batch).long()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)  # as `retrain` does

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


CANDIDATES: dict[str, Callable[[str, int], Work]] = {
    "unbind loop": lambda model, batch: naive(training_step(model, batch)),
    "native": training_step,
}


def case(model_name: str, batch: int) -> Case:
    """Both candidates, each with a model and an optimiser of its own."""
    model = create_model(model_name)
    images = NoiseInput(model.config.img_size, model.config.in_chans)(1)
    return Case(
        candidates={label: make(model_name, batch) for label, make in CANDIDATES.items()},
        ours="native",
        units=batch,
        unit="images",
        error=partial(disagreement, model, images),
    )


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part; a naive step of Vim-Ti takes half a minute."""
    yield Benchmark("training/vim_micro/B=8/fp32", partial(case, MICRO, 8), 15, quick=True)
    yield Benchmark("training/vim_tiny/B=8/fp32", partial(case, VIM, 8), 130)
