"""Pruning at random: the floor under every other choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rmeeto.tokens import Plan, Reducer, TokenState, drop_lowest
from rmeeto.tokens.random import ranking

from .common import REDUCERS


@REDUCERS.register("prune_random")
@dataclass(frozen=True)
class PruneRandom(Reducer):
    """Drop r tokens of each site at random, the same ones in every image and at every forward."""

    name: ClassVar[str] = "prune_random"

    seed: int = 0
    """seed of the choice; each site has a stream of its own"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.seed >= 0, "seed", "use 0 or more")

    @property
    def matches(self) -> bool:
        return False

    def limit(self, eligible: int) -> int:
        return eligible - 1

    def plan(self, features: Tensor, state: TokenState, site: int, r: int) -> Plan:
        # A token's lot goes by its rank among the unprotected, wherever the class token is.
        rank = (~state.protected).long().cumsum(1) - 1
        lots = torch.tensor(ranking(rank.shape[1], self.seed, site), device=rank.device)
        return drop_lowest(lots[rank.clamp_min(0)].float(), state.protected, r)
