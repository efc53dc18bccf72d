"""FLOPs from the token counts that really ran, in two named conventions, and a second opinion.

All counts are multiply-adds (MACs) of one image, the field's "FLOPs". ``paper`` counts one scan
direction as the published formula does; ``full`` counts everything that runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..backbones import Backbone, create_model
from ..evaluation.modes import device_of, evaluating
from ..ops.bidirectional_mamba.op import projection_flops
from ..ops.mamba_block.op import product_flops
from ..reducers import RMeeTo
from ..tokens import Reduction, TokenState
from .inputs import NoiseInput

Convention = Literal["paper", "full"]

PUBLISHED_MODELS = (
    "vim_tiny_patch16_224",
    "vim_small_patch16_224",
    "vim_base_patch16_224",
    "videomamba_tiny_patch16_224",
    "videomamba_small_patch16_224",
    "videomamba_base_patch16_224",
)


def _attention_flops(query, key, value, *_, **__) -> int:
    return sdpa_flop_count(query, key, value)


# PyTorch's counter knows attention on CUDA only and would count zero here without a word; of what we
# fuse, the matrix products are wanted.
_PRODUCTS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.rmeeto.bidirectional_mamba: projection_flops,
    torch.ops.rmeeto.mamba_block: product_flops,
}


@dataclass(frozen=True)
class FlopCount:
    """Cost of one image.

    Args:
        macs: multiply-adds.
        gflops: the same in units of 10⁹, as papers print them.
        convention: "paper" or "full".
        tokens: tokens that each loop block saw.
        merges: (tokens before, tokens removed, width of the matched features) at each site that
            removed any.
    """

    macs: float
    gflops: float
    convention: Convention
    tokens: tuple[int, ...]
    merges: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class PublishedFlops:
    """One row of the published cost table: GFLOPs with ``r`` tokens removed at each site."""

    model: str
    r: int
    ratio: float
    final_tokens: int
    paper: float
    full: float


def count_flops(
    model: Backbone, convention: Convention = "paper", images: Tensor | None = None
) -> FlopCount:
    """Multiply-adds of one image, from the token counts of one recorded forward pass.

    Args:
        model: a backbone, with or without a reduction.
        convention: "paper" or "full".
        images: (1, channels, height, width) for adaptive reducers; None takes noise.

    Returns:
        The cost and the counts it was computed from.
    """
    tokens, merges = record_tokens(model, images)
    macs = model.flops(tokens, merges, convention)
    return FlopCount(macs, macs / 1e9, convention, tokens, merges)


def record_tokens(
    model: Backbone, images: Tensor | None = None
) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    """Tokens seen by each loop block and (before, removed, width) of each merge, as they ran."""
    reduction = model.reduction
    recorder = _Recorder(reduction)
    try:
        model.reduction = recorder  # type: ignore[assignment]
        with evaluating(model):
            model(_one_image(model) if images is None else images)
    finally:
        model.reduction = reduction
    return tuple(recorder.tokens), tuple(recorder.merges)


class _Recorder(nn.Module):
    """Stands in for a model's reduction, does what it does, and notes the token counts."""

    def __init__(self, inner: Reduction | None) -> None:
        super().__init__()
        self.inner = inner
        self.tokens: list[int] = []
        self.merges: list[tuple[int, int, int]] = []

    def taps_for(self, block: int, start: int) -> frozenset[str]:
        return self.inner.taps_for(block, start) if self.inner else frozenset()

    def forward(self, site: int, state: TokenState) -> TokenState:
        after = self.inner(site, state) if self.inner else state
        before, left = state.tokens.shape[1], after.tokens.shape[1]
        if self.inner and left < before:
            tap = self.inner.config.tap
            features = state.tokens if tap is None else state.taps.get(tap, state.tokens)
            self.merges.append((before, before - left, features.shape[-1]))
        self.tokens.append(left)
        return after


def matmul_macs(model: Backbone, images: Tensor | None = None) -> int:
    """Multiply-adds in matrix products, convolutions and attention, counted by PyTorch as they run.

    An independent check on those terms of `count_flops`; scans, matching and other kernels of
    ours are left out.
    """
    images = _one_image(model) if images is None else images
    with evaluating(model), FlopCounterMode(display=False, custom_mapping=_PRODUCTS) as counter:
        model(images)
    counts = counter.get_flop_counts()["Global"]
    products = (op in _PRODUCTS or op.__module__ == "torch._ops.aten" for op in counts)
    return sum(compress(counts.values(), products)) // 2


def published_flops_table(
    models: tuple[str, ...] = PUBLISHED_MODELS, rs: tuple[int, ...] = (0, 5, 10, 11, 15, 20)
) -> tuple[PublishedFlops, ...]:
    """GFLOPs of the published models and schedules, without running or filling them.

    Source: R-MeeTo (arXiv 2412.12496), Table 2: Vim Ti/S/B 1.45/5.08/18.87 G, with r = 5/11/11
    1.28/3.58/13.21 G (our ``paper`` column); differs in: r = 20 counts the tokens that really
    remain.
    """
    return tuple(row for name in models for row in _published_rows(name, rs))


def _published_rows(name: str, rs: tuple[int, ...]) -> Iterator[PublishedFlops]:
    with torch.device("meta"):
        model = create_model(name)
    for r in rs:
        schedule = Reduction(RMeeTo(r=r), model).schedule
        tokens, merges = schedule.tokens(), schedule.merges(model.config.embed_dim)
        paper, full = (model.flops(tokens, merges, c) / 1e9 for c in ("paper", "full"))
        yield PublishedFlops(name, r, schedule.ratio, schedule.final, paper, full)


def _one_image(model: Backbone) -> Tensor:
    size, channels = model.config.image_hw, model.config.in_chans
    return NoiseInput(size, channels, str(device_of(model)))(1)
