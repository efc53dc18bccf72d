"""Objectives: what a re-training minimises, from tensors alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .combined import Outputs, Ramp, TrustObjective
from .distillation import distillation
from .feature_distillation import feature_distillation
from .logit_norm import label_loss, logit_norm
from .mixoe import MixOE, mix_with_outliers
from .outlier import (
    ENERGY_MARGINS,
    EnergyMargins,
    energy_hinges,
    energy_margins,
    free_energy,
    outlier_exposure,
)
from .separation import (
    SubspaceWarning,
    class_directions,
    clustering,
    principal_basis,
    principal_separation,
    separation,
    subspace_warning,
)
from .supervised import cross_entropy

__all__ = [
    "ENERGY_MARGINS",
    "EnergyMargins",
    "MixOE",
    "Objective",
    "Outputs",
    "Ramp",
    "SubspaceWarning",
    "TrustObjective",
    "class_directions",
    "clustering",
    "cross_entropy",
    "distillation",
    "energy_hinges",
    "energy_margins",
    "feature_distillation",
    "free_energy",
    "logit_norm",
    "mix_with_outliers",
    "outlier_exposure",
    "principal_basis",
    "principal_separation",
    "separation",
    "subspace_warning",
]


@dataclass(frozen=True)
class Objective:
    """Named losses of a batch: cross-entropy, plus distillation when there is a teacher.

    ``loss = cross_entropy + distill_weight · distillation``, `logit_norm` in the first's place if asked for.
    """

    smoothing: float = 0.0
    """Label smoothing of the cross-entropy, in [0, 1)."""
    distill_weight: float = 0.0
    """Weight of the distillation; 0 leaves it out."""
    temperature: float = 1.0
    """Softness of the distillation."""
    logit_norm: float | None = None
    """τ of `logit_norm`; none = plain cross-entropy."""

    def __call__(
        self, logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """All losses by name, each a scalar mean over the batch; ``"loss"`` is the one to minimise.

        Args:
            logits: (B, K) of the model in training.
            targets: (B,) int64 labels or (B, K) probabilities.
            teacher_logits: (B, K), or None for no distillation.
            class_weights: (K,) of the cross-entropy, see there.
        """
        name, loss = label_loss(logits, targets, self.smoothing, class_weights, self.logit_norm)
        parts = {name: loss}
        if teacher_logits is not None and self.distill_weight > 0:
            parts["distillation"] = distillation(logits, teacher_logits, self.temperature)
            loss = loss + self.distill_weight * parts["distillation"]
        return {"loss": loss, **parts}
