"""Features of layers before the last one: which layers, and one vector an image from each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..backbones import Backbone
from ..errors import ConfigError
from ..tokens import TokenState

_PARTS = 4


def quarter_layers(model: Backbone) -> list[int]:
    """The last layer of each of the first three quarters of a backbone's depth, each once."""
    ends = (k * model.config.depth // _PARTS - 1 for k in range(1, _PARTS))
    return sorted({max(end, 0) for end in ends})


def logits_and_layers(
    model: nn.Module, images: Tensor, layers: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """Logits (B, K) and the pooled tokens (B, C) after each of some layers, in one pass.

    Raises:
        ConfigError: the model is no `Backbone`, or has no such layer.
    """
    if not isinstance(model, Backbone):
        reason = "only models of rmeeto tell the tokens between their blocks; leave layers out"
        raise ConfigError("features of earlier layers", f"a {type(model).__name__}", reason)
    logits, states = model.forward_layers(images, layers)
    return logits, [pooled(state) for state in states]


def pooled(state: TokenState) -> Tensor:
    """The mean token of each image, (B, C), in which tokens count by the patches that they stand for."""
    share = state.size / state.size.sum(1, keepdim=True)
    return torch.einsum("bn,bnc->bc", share.to(state.tokens), state.tokens)
