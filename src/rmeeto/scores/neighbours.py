"""Scores that compare an image's features with a bank of in-distribution ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rmeeto.errors import ScoreError

from .base import Needs, Score
from .common import SCORES, energy, features_of
from .fitted import Statistics
from .outputs import Head, Outputs

CELLS = 2**24


@dataclass(frozen=True)
class BankScore(Score):
    """What scores with a bank share: k, by default a hundredth of the bank up to a limit."""

    needs: ClassVar[Needs] = "features"
    fitted: ClassVar[bool] = True
    most: ClassVar[int] = 50

    k: int | None = None
    """neighbours; unset: 1 % of the bank, at least 1 and at most `most`"""

    def __post_init__(self) -> None:
        self._require(self.k is None or self.k >= 1, "k", "use 1 or more")

    def neighbours(self, size: int) -> int:
        """k for a bank of ``size`` images; raises `ScoreError` if the bank is too small."""
        if self.k is None:
            return min(self.most, max(1, size // 100))
        if self.k > size:
            reason = "use a smaller k or more in-distribution images"
            raise ScoreError(f"the score {self.name} with k={self.k}", f"a bank of {size}", reason)
        return self.k

    def _chunk(self, statistics: Statistics) -> int:
        return max(1, CELLS // len(statistics["bank"]))


@SCORES.register("knn")
@dataclass(frozen=True)
class KNN(BankScore):
    """``‖z − z_(k)‖₂``: distance of z = h/‖h‖ to its k-th nearest in-distribution one; in [0, 2].

    Source: Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors"; differs
    in: the default k is at most 1 % of the bank, no approximate search.
    """

    name: ClassVar[str] = "knn"

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        self.neighbours(len(train))
        return {"bank": functional.normalize(features_of(train), dim=1)}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        bank = statistics["bank"]
        z = functional.normalize(features_of(outputs), dim=1).to(bank.dtype)
        nearest = (z @ bank.T).topk(self.neighbours(len(bank)), dim=1).indices[:, -1]
        return (z.double() - bank[nearest].double()).norm(dim=1)


@SCORES.register("nnguide")
@dataclass(frozen=True)
class NNGuide(BankScore):
    """``−S(h) · (1/k) Σ_top-k S_i ⟨z_i, z⟩``, S = logsumexp(f), z = h/‖h‖, over the bank's i.

    The product means something only while S > 0, which trained classifiers' logits usually give.

    Source: Park et al. 2023, "Nearest Neighbor Guidance for Out-of-Distribution Detection";
    differs in: the bank is not a random 1 % but at most ``bank`` images at even distances in the
    order given, and the default k is at most 1 % of it.
    """

    name: ClassVar[str] = "nnguide"
    most: ClassVar[int] = 100

    bank: int = 12800
    """most images kept: 1 % of ImageNet-1k, the paper's bank there"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.bank >= 1, "bank", "use 1 or more")

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        size = min(self.bank, len(train))
        self.neighbours(size)
        chosen = torch.arange(size, device=train.logits.device) * len(train) // size
        z = functional.normalize(features_of(train)[chosen], dim=1)
        return {"bank": -energy(train.logits[chosen])[:, None] * z}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        bank = statistics["bank"]
        z = functional.normalize(features_of(outputs), dim=1).to(bank.dtype)
        guidance = (z @ bank.T).topk(self.neighbours(len(bank)), dim=1).values.mean(1)
        return energy(outputs.logits) * guidance
