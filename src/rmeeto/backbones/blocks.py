"""The residual block, its norm and its stochastic depth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .. import ops
from ..tokens.state import TokenState

if TYPE_CHECKING:
    from .mixers import BidirectionalMamba

NO_TAPS: frozenset[str] = frozenset()


def compute_dtype(weight: Tensor) -> torch.dtype:
    """Type that a layer computes in: autocast's where it is on, else the weight's."""
    device = weight.device.type
    if torch.is_autocast_enabled(device) and weight.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return weight.dtype


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) · weight over the channels, computed in fp32.

    Args:
        dim: C.
        eps: added to the mean square.

    Source: Zhang & Sennrich 2019, eq. 4, with eps inside the root.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, tokens: Tensor) -> Tensor:
        """(…, C) stream → (…, C) in the compute type."""
        dtype = compute_dtype(self.weight)
        return ops.add_rms_norm(tokens, None, self.weight, self.eps, dtype=dtype)[0]


class Linear(nn.Linear):
    """A linear layer whose products the faster library computes; see `rmeeto.ops.linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """(…, I) → (…, O)."""
        return ops.linear(input, self.weight, self.bias)


class DropPath(nn.Module):
    """Zero a sample's update with probability ``rate`` while training, else scale it by 1/(1−rate).

    The coin is tossed on the CPU by the model's own generator, so that a run can be repeated or
    resumed on any device without touching the global one.

    Args:
        rate: probability, 0 up to 1.
        generator: shared by all blocks of one model.

    Source: Huang et al. 2016, Stochastic Depth; scaled while training, as in timm.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self.generator = rate, generator

    @property
    def idle(self) -> bool:
        """Whether every update passes unchanged."""
        return not self.training or self.rate == 0

    def forward(self, update: Tensor) -> Tensor:
        """(B, N, C) → (B, N, C)."""
        if self.idle:
            return update
        kept = torch.rand(update.shape[0], 1, 1, generator=self.generator) >= self.rate
        return update * (kept / (1 - self.rate)).to(update)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"


def plain(module: nn.Module) -> bool:
    """Whether calling the module is its forward and nothing else: no hooks, nothing put in its place."""
    hooks = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return not hooks


def residual_step(
    state: TokenState,
    norm: nn.Module,
    mixer: nn.Module,
    drop_path: DropPath,
    taps: frozenset[str] = NO_TAPS,
) -> TokenState:
    """tokens ← tokens + drop_path(mixer(norm(tokens))), the stream staying in fp32.

    Args:
        state: tokens now; its sizes are shown to the mixer.
        norm: before the mixer, answers in the compute type.
        mixer: (tokens, size, taps) → (update, features it was asked for).
        drop_path: may drop the update of a sample.
        taps: features to leave in the new state for matching; "update" is the mixer's raw output.
    """
    update, features = mixer(norm(state.tokens), state.size, taps)
    if "update" in taps:
        features["update"] = update
    left = {name: value.detach() for name, value in features.items()}
    return replace(state, tokens=state.tokens + drop_path(update), taps=left)


class MixerBlock(nn.Module):
    """One loop block: norm, mixer, residual addition.

    Args:
        norm: over the channels.
        mixer: see `residual_step`.
        drop_path: stochastic depth of the update.
    """

    mixer: BidirectionalMamba

    def __init__(self, norm: nn.Module, mixer: BidirectionalMamba, drop_path: DropPath) -> None:
        super().__init__()
        self.norm, self.mixer, self.drop_path = norm, mixer, drop_path

    def forward(self, state: TokenState, taps: frozenset[str] = NO_TAPS) -> TokenState:
        """`TokenState` → `TokenState` of as many tokens."""
        whole = self.mixer.whole_block(self.norm, state.tokens, taps) if self.drop_path.idle else None
        if whole is not None:
            return replace(state, tokens=whole[0], taps=whole[1])
        return residual_step(state, self.norm, self.mixer, self.drop_path, taps)
