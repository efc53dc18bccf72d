"""Pruning by informativeness: a score of each token's mixer output decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from rmeeto.tokens import Plan, Reducer, TokenState, drop_lowest

from .common import REDUCERS


@REDUCERS.register("prune_score")
@dataclass(frozen=True)
class PruneScore(Reducer):
    """Drop the r tokens of each site that the last mixer found least (or most) informative.

    ``clipped``: Σ_d max(0, y_d), y the scan's output before the output projection, both
    directions together; ``norm``: ‖update‖₂, the mixer's output. Before the first block the
    tokens themselves are scored.

    Source: ToP-ViM (token pruning for Vision Mamba), importance score; differs in: both scan
    directions count and the score is clipped, as the paper says.
    """

    name: ClassVar[str] = "prune_score"

    score: Literal["clipped", "norm"] = "clipped"
    """what makes a token informative"""
    drop: Literal["least", "most"] = "least"
    """which end of the score goes: "most" is the control that should hurt"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.score in ("clipped", "norm"), "score", "use clipped or norm")
        self._require(self.drop in ("least", "most"), "drop", "use least or most")

    @property
    def tap(self) -> str:
        return "mixer_out" if self.score == "clipped" else "update"

    @property
    def matches(self) -> bool:
        return False

    def limit(self, eligible: int) -> int:
        return eligible - 1

    def plan(self, features: Tensor, state: TokenState, site: int, r: int) -> Plan:
        features = features.detach().to(state.size.dtype)
        score = features.relu().sum(2) if self.score == "clipped" else features.norm(dim=2)
        return drop_lowest(-score if self.drop == "most" else score, state.protected, r)
