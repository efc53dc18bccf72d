"""Elastic training: each step removes another share of the tokens, so that one model serves many r."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ..data.streams import Stream, seeds, uniforms
from ..errors import ConfigError
from .recipe import Recipe


def check(recipe: Recipe, model: nn.Module) -> None:
    """Refuse an elastic recipe where no token is removed."""
    if recipe.elastic and getattr(model, "reduction", None) is None:
        raise ConfigError(
            "elastic training",
            "a model without a reduction",
            "attach one that removes the most tokens the model should stand: rmeeto.reduce_(model, …)",
        )


@contextmanager
def drawn_share(model: nn.Module, recipe: Recipe, *place: int) -> Iterator[None]:
    """While it lasts, an elastic recipe's model removes a random share of its schedule.

    Args:
        model: with a reduction.
        recipe: says whether, and the seed.
        place: step, micro-batch and rank that the share depends on.

    Source: the idea is that of slimmable networks (Yu et al. 2019, arXiv 1812.08928); differs in:
    tokens instead of channels, and one share a step, evenly from none to all.
    """
    full = getattr(model, "reduction", None)
    if not recipe.elastic or full is None:
        yield
        return
    share = uniforms(seeds(recipe.seed, *place), Stream.ELASTIC, 1)[0, 0]
    model.reduction = full.scaled(float(share))
    try:
        yield
    finally:
        model.reduction = full
