"""How much of a feature lies outside the directions that in-distribution features take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rmeeto.errors import ScoreError

from .base import Needs, Score
from .common import SCORES, energy, features_of
from .fitted import Statistics
from .outputs import Head, Outputs


@dataclass(frozen=True)
class SubspaceScore(Score):
    """What residual scores share: origin u = −W⁺b and the D main directions of h − u.

    The directions are eigenvectors of the second moment of in-distribution h − u; the residual is
    the part of h − u in the other d − D.
    """

    needs: ClassVar[Needs] = "head"
    fitted: ClassVar[bool] = True

    dim: int | None = None
    """D < d; unset: the fewest directions with 95 % of the energy, at most d/2"""

    def __post_init__(self) -> None:
        self._require(self.dim is None or self.dim >= 1, "dim", "use 1 or more")

    def _subspace(self, train: Outputs, head: Head) -> Statistics:
        h = features_of(train).double()
        self._check_dim(h.shape[1])
        origin = -torch.linalg.pinv(head.weight.double()) @ head.bias.double()
        shifted = h - origin
        values, vectors = torch.linalg.eigh(shifted.T @ shifted / len(h))
        dim = self.dim or main_directions(values.flip(0))
        return {"origin": origin, "rest": vectors[:, : h.shape[1] - dim].contiguous()}

    def _check_dim(self, d: int) -> None:
        if d < 2 or (self.dim is not None and self.dim >= d):
            reason = f"nothing would be left outside; use dim under {d}, or leave it unset"
            given = f"features of width d={d}"
            raise ScoreError(f"the score {self.name} with dim={self.dim}", given, reason)


@SCORES.register("residual")
@dataclass(frozen=True)
class Residual(SubspaceScore):
    """``‖R Rᵀ (h − u)‖₂``, R the directions outside the main subspace; in feature units, ≥ 0.

    Source: Wang et al. 2022, "ViM: Out-Of-Distribution with Virtual-logit Matching" (the
    baseline "Residual"); differs in: D by energy and below d (a fixed 512 leaves nothing in
    networks with 512 features).
    """

    name: ClassVar[str] = "residual"

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        return self._subspace(train, head)

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return residual_norm(features_of(outputs), statistics)


@SCORES.register("vim")
@dataclass(frozen=True)
class ViM(SubspaceScore):
    """``α · ‖R Rᵀ (h − u)‖₂ − log Σ_k exp f_k``: the residual as a virtual logit, against energy.

    α = mean of the largest logit / mean residual over in-distribution images. Logit units.

    Source: Wang et al. 2022, "ViM: Out-Of-Distribution with Virtual-logit Matching";
    differs in: the logarithm of the odds instead of the virtual class's probability (same
    ranking), and D by energy instead of 256, 512 or 1000.
    """

    name: ClassVar[str] = "vim"

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        statistics = self._subspace(train, head)
        norm = residual_norm(features_of(train), statistics).mean()
        if norm <= 1e-9 * (features_of(train).double() - statistics["origin"]).norm(dim=1).mean():
            reason = (
                "the features span too few directions to tell a residual's size; fit on more images"
            )
            raise ScoreError(f"to fit the score {self.name}", "residuals that are all 0", reason)
        return {**statistics, "alpha": train.logits.double().amax(1).mean() / norm}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        norm = residual_norm(features_of(outputs), statistics)
        return statistics["alpha"] * norm + energy(outputs.logits.double())


def main_directions(values: Tensor) -> int:
    """Fewest of the descending eigenvalues with 95 % of their sum, at least 1, at most d/2."""
    share = values.clamp_min(0).cumsum(0) / values.clamp_min(0).sum()
    enough = int((share < 0.95).sum()) + 1
    return max(1, min(enough, len(values) // 2))


def residual_norm(features: Tensor, statistics: Statistics) -> Tensor:
    """(n,) fp64 length of the part of (n, d) features outside the main directions."""
    return ((features.double() - statistics["origin"]) @ statistics["rest"]).norm(dim=1)
