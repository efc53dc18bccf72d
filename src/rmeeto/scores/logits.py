"""Scores that read the logits alone and learn nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Score
from .common import SCORES
from .fitted import Statistics
from .outputs import Head, Outputs


@SCORES.register("msp")
@dataclass(frozen=True)
class MSP(Score):
    """``−max_k softmax(f)_k``, in [−1, −1/K].

    Source: Hendrycks & Gimpel 2017, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples".
    """

    name: ClassVar[str] = "msp"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return max_softmax(outputs.logits).neg()


@SCORES.register("max_logit")
@dataclass(frozen=True)
class MaxLogit(Score):
    """``−max_k f_k``, in logit units.

    Source: Vaze et al. 2022, "Open-Set Recognition: a Good Closed-Set Classifier is All You
    Need?" (MLS); Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection".
    """

    name: ClassVar[str] = "max_logit"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return -outputs.logits.amax(1)


@SCORES.register("energy")
@dataclass(frozen=True)
class Energy(Score):
    """``−T · log Σ_k exp(f_k / T)``, in logit units.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", equation 4.
    """

    name: ClassVar[str] = "energy"

    temperature: float = 1.0
    """T > 0"""

    def __post_init__(self) -> None:
        self._require(self.temperature > 0, "temperature", "use more than 0")

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return -self.temperature * (outputs.logits / self.temperature).logsumexp(1)


@SCORES.register("entropy")
@dataclass(frozen=True)
class Entropy(Score):
    """``−Σ_k p_k log p_k`` of ``p = softmax(f)``, in nats, in [0, log K].

    Source: Shannon's entropy of the prediction; as a score e.g. in Chan et al. 2021, "Entropy
    Maximization and Meta Classification for Out-of-Distribution Detection".
    """

    name: ClassVar[str] = "entropy"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return torch.special.entr(outputs.logits.softmax(1)).sum(1)


@SCORES.register("gen")
@dataclass(frozen=True)
class GEN(Score):
    """Generalised entropy ``Σ_k p_k^γ (1 − p_k)^γ`` over the M largest ``p = softmax(f)``, ≥ 0.

    Source: Liu et al. 2023, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
    Detection" (negated); differs in: 1 − p of the largest p is summed from the other
    probabilities in fp64, since 1 − p itself rounds to 0 for confident images, which γ = 0.1
    turns into a jump.
    """

    name: ClassVar[str] = "gen"

    gamma: float = 0.1
    """γ in (0, 1)"""
    top: int = 100
    """M, the largest probabilities that count; all K if there are fewer"""

    def __post_init__(self) -> None:
        self._require(0 < self.gamma < 1, "gamma", "use a number between 0 and 1")
        self._require(self.top >= 1, "top", "use 1 or more")

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        p = outputs.logits.double().softmax(1).sort(1, descending=True).values
        rest = torch.cat([p[:, 1:].sum(1, keepdim=True), 1 - p[:, 1:]], 1)
        return (p * rest).pow(self.gamma)[:, : self.top].sum(1)


def max_softmax(logits: Tensor) -> Tensor:
    """(n,) largest softmax probability of (n, K) logits."""
    return (logits.amax(1) - logits.logsumexp(1)).exp()
