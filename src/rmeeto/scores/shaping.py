"""Energy after the features, or the head, were clipped, pruned or scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Needs, Score
from .common import SCORES, energy, features_of, percentile_of
from .fitted import Statistics
from .outputs import Head, Outputs


@dataclass(frozen=True)
class ShapingScore(Score):
    """What shaping scores share: a percentile, and features after a ReLU."""

    needs: ClassVar[Needs] = "head"
    nonnegative: ClassVar[bool] = True

    percentile: float = 90.0
    """p in [0, 100): share in % of activations or weights below the cut"""

    def __post_init__(self) -> None:
        self._require(0 <= self.percentile < 100, "percentile", "use 0 up to, not 100")

    def kept(self, d: int) -> int:
        """How many of d activations are among the largest (100 − p) %, at least 1."""
        return max(1, d - round(d * self.percentile / 100))


@SCORES.register("react")
@dataclass(frozen=True)
class ReAct(ShapingScore):
    """Energy of ``W · min(h, c) + b``, c the p-th percentile of all in-distribution activations.

    Source: Sun et al. 2021, "ReAct: Out-of-distribution Detection With Rectified Activations".
    """

    name: ClassVar[str] = "react"
    fitted: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        return {"threshold": percentile_of(features_of(train), self.percentile)}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs)
        return energy(head(h.minimum(statistics["threshold"].to(h.dtype))))


@SCORES.register("ash_b")
@dataclass(frozen=True)
class AshB(ShapingScore):
    """Energy of ``W · a + b``: a is Σh / m in the m largest activations and 0 in the others.

    m = d − round(d·p/100).

    Source: Djurisic et al. 2023, "Extremely Simple Activation Shaping for Out-of-Distribution
    Detection", algorithm 2 (ASH-B).
    """

    name: ClassVar[str] = "ash_b"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs)
        top = h.topk(self.kept(h.shape[1]), dim=1)
        fill = h.sum(1, keepdim=True) / top.indices.shape[1]
        return energy(head(torch.zeros_like(h).scatter(1, top.indices, fill.expand_as(top.values))))


@SCORES.register("ash_s")
@dataclass(frozen=True)
class AshS(ShapingScore):
    """Energy of ``W · a·exp(Σh / Σa) + b``: a keeps the m largest activations, 0 in the others.

    m = d − round(d·p/100).

    Source: Djurisic et al. 2023, "Extremely Simple Activation Shaping for Out-of-Distribution
    Detection", algorithm 3 (ASH-S).
    """

    name: ClassVar[str] = "ash_s"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs)
        top = h.topk(self.kept(h.shape[1]), dim=1)
        pruned = torch.zeros_like(h).scatter(1, top.indices, top.values)
        return energy(head(pruned * ratio(h, top.values).exp()))


@SCORES.register("scale")
@dataclass(frozen=True)
class Scale(ShapingScore):
    """Energy of ``W · h·exp(r) + b``, r = Σh / Σ of the m largest; nothing is pruned.

    m = d − round(d·p/100).

    Source: Xu et al. 2024, "Scaling for Training Time and Post-hoc Out-of-distribution Detection
    Enhancement" (SCALE).
    """

    name: ClassVar[str] = "scale"

    percentile: float = 85.0
    """p in [0, 100): share in % of activations below the cut"""

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs)
        return energy(head(h * ratio(h, h.topk(self.kept(h.shape[1]), dim=1).values).exp()))


@SCORES.register("dice")
@dataclass(frozen=True)
class Dice(ShapingScore):
    """Energy of ``(W∘M) · h + b``: M keeps weights whose mean contribution is above a percentile.

    The contribution of weight (k, j) is W_kj · mean h_j over in-distribution images.

    Source: Sun & Li 2022, "DICE: Leveraging Sparsification for Out-of-Distribution Detection".
    """

    name: ClassVar[str] = "dice"
    fitted: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        weight = head.weight.double()
        contribution = weight * features_of(train).double().mean(0)
        kept = contribution > percentile_of(contribution, self.percentile)
        return {"weight": head.weight * kept}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return energy(Head(statistics["weight"], head.bias)(features_of(outputs)))


def ratio(features: Tensor, top: Tensor) -> Tensor:
    """(n, 1) sum of (n, d) features over the sum of their largest (n, m), 1 … d/m for h ≥ 0.

    Where the largest sum to 0 or less (no activation at all) it is 0.
    """
    above = top.sum(1, keepdim=True)
    quotient = features.sum(1, keepdim=True) / above.clamp_min(torch.finfo(above.dtype).tiny)
    return quotient.where(above > 0, torch.zeros_like(above))
