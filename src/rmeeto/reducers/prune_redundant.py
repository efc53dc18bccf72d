"""Pruning by redundancy: R-MeeTo's selection, dropped instead of merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rmeeto.tokens import Plan, TokenState, drop_sources

from .common import REDUCERS
from .matching import MatchingReducer


@REDUCERS.register("prune_redundant")
@dataclass(frozen=True)
class PruneRedundant(MatchingReducer):
    """Drop the r most redundant tokens of each site; the others and their sizes stay as they are.

    It selects exactly what R-MeeTo with the same settings merges.

    Source: R-MeeTo (arXiv 2412.12496), the pruning baseline of its published code.
    """

    name: ClassVar[str] = "prune_redundant"

    def plan(self, features: Tensor, state: TokenState, site: int, r: int) -> Plan:
        return drop_sources(super().plan(features, state, site, r))
