"""Scores of the angle between an image's feature and class means, class weights or boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rmeeto.errors import ScoreError

from .base import Needs, Score
from .common import SCORES, class_means, features_of, labels_of
from .fitted import Statistics
from .logits import max_softmax
from .outputs import Head, Outputs


@SCORES.register("she")
@dataclass(frozen=True)
class SHE(Score):
    """``−⟨h, S_ŷ⟩``: S_c is the mean feature of in-distribution images correctly predicted as c.

    A class without any takes the mean of all correctly predicted images.

    Source: Zhang et al. 2023, "Out-of-Distribution Detection based on In-Distribution Data
    Patterns Memorization with Modern Hopfield Energy" (SHE, inner product).
    """

    name: ClassVar[str] = "she"
    needs: ClassVar[Needs] = "features"
    fitted: ClassVar[bool] = True
    labelled: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        right = train.predicted == labels_of(train)
        if not right.any():
            reason = "check that labels and logits number the classes alike"
            raise ScoreError(
                f"to fit the score {self.name}", "no image predicted correctly", reason
            )
        h = features_of(train)[right].double()
        means, count = class_means(h, train.predicted[right], train.logits.shape[1])
        return {"patterns": means.where(count[:, None] > 0, h.mean(0))}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        pattern = statistics["patterns"][outputs.predicted]
        return -(features_of(outputs).double() * pattern).sum(1)


@SCORES.register("nci")
@dataclass(frozen=True)
class NCI(Score):
    """``−⟨w_ŷ, h − μ⟩ / ‖h − μ‖ − α · ‖h‖₁``, μ the mean in-distribution feature.

    Source: Liu & Qin 2025, "Detecting Out-of-Distribution through the Lens of Neural Collapse".
    """

    name: ClassVar[str] = "nci"
    needs: ClassVar[Needs] = "head"
    fitted: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    alpha: float = 1e-4
    """α ≥ 0, the weight of the feature's length"""

    def __post_init__(self) -> None:
        self._require(self.alpha >= 0, "alpha", "use 0 or more")

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        return {"mean": features_of(train).double().mean(0)}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs).double()
        direction = functional.normalize(h - statistics["mean"], dim=1)
        along = (head.weight[outputs.predicted].double() * direction).sum(1)
        return -along - self.alpha * h.abs().sum(1)


@SCORES.register("fdbd")
@dataclass(frozen=True)
class FDBD(Score):
    """``−(1/(K−1)) Σ_{c≠ŷ} |f_ŷ − f_c| / (‖w_ŷ − w_c‖ · ‖h − μ‖)``, μ the mean feature; ≤ 0.

    The mean distance to the decision boundaries, measured against the distance to the centre.

    Source: Liu & Qin 2024, "Fast Decision Boundary based Out-of-Distribution Detector"
    (regularised distance).
    """

    name: ClassVar[str] = "fdbd"
    needs: ClassVar[Needs] = "head"
    fitted: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        weight = head.weight.double()
        apart = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
        return {"mean": features_of(train).double().mean(0), "apart": apart}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        logits, best = outputs.logits.double(), outputs.predicted
        apart = statistics["apart"][best]
        gap = logits.amax(1, keepdim=True) - logits
        distance = torch.where(apart > 0, gap / apart.clamp_min(1e-300), 0.0).sum(1)
        length = (features_of(outputs).double() - statistics["mean"]).norm(dim=1)
        return -distance / (logits.shape[1] - 1) / length.clamp_min(1e-12)


@SCORES.register("separation")
@dataclass(frozen=True)
class Separation(Score):
    """``−max_k softmax(f)_k − Σ_k |cos(h, w_k)|``, or the mean over k; the bias is ignored.

    Only for models that were trained to push outliers out of the span of the class weights
    (Separation loss). Elsewhere the second term can point the wrong way: a fully collapsed
    in-distribution feature (simplex ETF) has Σ|cos| = 2 for any K, a random feature about
    K·√(2/(πd)), which is 7 for d = 128 and K = 100. With d < K the weights span everything and
    the term separates little; as a mean over many classes it all but vanishes beside the softmax.

    Source: Wu et al. 2025, "Pursuing Feature Separation based on Neural Collapse for
    Out-of-Distribution Detection" (arXiv 2405.17816); the paper writes the mean, its
    published code sums.
    """

    name: ClassVar[str] = "separation"
    needs: ClassVar[Needs] = "head"

    reduction: Literal["sum", "mean"] = "sum"
    """over the classes"""

    def __post_init__(self) -> None:
        self._require(self.reduction in ("sum", "mean"), "reduction", "use sum or mean")

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = functional.normalize(features_of(outputs), dim=1)
        weight = functional.normalize(head.weight.to(h.dtype), dim=1)
        cosines = (h @ weight.T).abs()
        term = cosines.sum(1) if self.reduction == "sum" else cosines.mean(1)
        return -max_softmax(outputs.logits) - term
