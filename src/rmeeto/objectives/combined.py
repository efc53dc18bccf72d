"""One objective for a re-training that keeps accuracy and outlier detection."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor

from ..errors import ConfigError
from .distillation import distillation
from .feature_distillation import feature_distillation
from .logit_norm import label_loss
from .mixoe import MixOE
from .outlier import EnergyMargins, energy_hinges, outlier_exposure
from .separation import OverClasses, clustering, principal_separation, separation
from .supervised import cross_entropy


@dataclass(frozen=True)
class Ramp:
    """The share of a weight that counts: 0 before ``start``, rising linearly to 1 at ``end``.

    Equal ends switch the term on at once; ``Ramp()`` is on from the first step.
    """

    start: float = 0.0
    """Share of the training, in [0, 1]."""
    end: float = 0.0
    """Share of the training, from ``start`` to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise ConfigError(
                "0 ≤ start ≤ end ≤ 1",
                f"start={self.start}, end={self.end}",
                "equal ends switch a term on at once; Ramp(0.5, 1) rises over the second half",
            )

    def __call__(self, progress: float) -> float:
        """Share in [0, 1] at ``progress``, the share of the training that is over."""
        if progress >= self.end:
            return 1.0
        if progress <= self.start:
            return 0.0
        return (progress - self.start) / (self.end - self.start)


_MIXING = MixOE()


@dataclass(frozen=True)
class Outputs:
    """What a model gives for one batch."""

    logits: Tensor
    """(B, K)."""
    features: Tensor
    """(B, C) inputs of the last linear layer."""


@dataclass(frozen=True)
class TrustObjective:
    """Cross-entropy, distillation of logits and features, and losses on auxiliary outliers.

    ``loss = CE + a·T²·KL + b·(1 − cos) + λ·OE + λ_E·hinges + λ_M·MixOE + β·Sep + α·Clu``, with every term
    averaged over its own images. Without a teacher the two distillations are left out; without outliers
    everything from λ on is, clustering too, since alone it makes detection worse.

    The defaults are for a converged model whose reduction costs little accuracy. Where it costs
    more than two points, let the features follow later: ``separation_ramp=Ramp(0.5, 1.0)``.

    Source: Wu et al. 2025 (arXiv 2405.17816), equations 3 to 6; Liu et al. 2020; differs in:
    distillation added, smaller α (the paper's grid prefers 0.1), linear ramps.
    """

    smoothing: float = 0.0
    """Label smoothing of the cross-entropy, in [0, 1)."""
    logit_norm: float | None = None
    """τ of `logit_norm` in the cross-entropy's place (0.04 is usual); none = plain."""
    distill_weight: float = 1.0
    """a of the logits' distillation."""
    temperature: float = 2.0
    """T of the distillation."""
    feature_weight: float = 1.0
    """b of the features' distillation."""
    exposure_weight: float = 0.5
    """λ of `outlier_exposure`; 0.5 in the literature."""
    energy_weight: float = 0.0
    """λ_E of `energy_hinges` (0.1 in the literature, with ``exposure_weight=0``); needs margins."""
    margins: EnergyMargins | None = None
    """Margins of the energy hinges; take them from the current model's energies."""
    mixing_weight: float = 0.0
    """λ_M of the cross-entropy, without smoothing, on mixtures of images and outliers; 1 in the
    literature, with ``exposure_weight=0``."""
    mixing: MixOE = _MIXING
    """How they are mixed."""
    separation_weight: float = 1.0
    """β, in units of ``reduction``: a β of the sum weighs as much as β·K of the mean. The paper's
    CIFAR tables were made with the sum and β = 1, which is 10 or 100 for the mean."""
    reduction: OverClasses = "mean"
    """Of `separation`, over classes."""
    subspace: Literal["classes", "principal"] = "classes"
    """Keep outliers off the class weights (the paper), or off a principal basis (ours)."""
    clustering_weight: float = 0.1
    """α of `clustering`; 1 in the paper's text."""
    outlier_ramp: Ramp = Ramp()
    """When λ, λ_E and λ_M count."""
    separation_ramp: Ramp = Ramp()
    """When α and β count."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("weight") and not value >= 0:
                raise ConfigError(
                    f"{field.name} of at least 0", str(value), "0 leaves the term out"
                )
        if self.logit_norm is not None and not self.logit_norm > 0:
            raise ConfigError("logit_norm above 0", str(self.logit_norm), "0.04 is the usual one")
        if self.energy_weight > 0 and self.margins is None:
            raise ConfigError(
                f"energy_weight={self.energy_weight:g}",
                "no margins",
                "set margins, for example EnergyMargins.from_energies of the current model",
            )
        if self.reduction not in ("mean", "sum"):
            given = repr(self.reduction)
            raise ConfigError("reduction 'mean' or 'sum'", given, "'mean' is the paper's formula")
        if self.subspace not in ("classes", "principal"):
            given = repr(self.subspace)
            raise ConfigError(
                "subspace 'classes' or 'principal'", given, "'classes' is the paper's"
            )

    def __call__(
        self,
        student: Outputs,
        targets: Tensor,
        teacher: Outputs | None = None,
        outliers: Outputs | None = None,
        weight: Tensor | None = None,
        basis: Tensor | None = None,
        progress: float = 1.0,
        class_weights: Tensor | None = None,
        mixed: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """All losses by name, unweighted scalars; ``"loss"`` is the weighted sum to minimise.

        A term whose ramp stands at 0 is reported but adds nothing, so the names stay the same.

        Args:
            student: outputs of the model in training on B ID images.
            targets: (B,) int64 labels or (B, K) probabilities.
            teacher: outputs of the original model on the same images; gets no gradient.
            outliers: outputs of the model in training on A auxiliary outliers.
            weight: (K, C) of the last linear layer, for separation and clustering; gets no gradient.
            basis: (C, k) of `principal_basis`, where ``subspace="principal"``.
            progress: share of the training that is over, in [0, 1]; moves the ramps.
            class_weights: (K,) of the cross-entropy, see there.
            mixed: logits (B, K) of the mixtures and their targets (B, K), see `mix_with_outliers`.

        Raises:
            ConfigError: a term switched on whose weight, basis or mixtures are missing.
        """
        name, plain = label_loss(
            student.logits, targets, self.smoothing, class_weights, self.logit_norm
        )
        terms = {name: (1.0, plain)}
        if teacher is not None:
            terms |= self._distillations(student, teacher)
        if outliers is not None:
            terms |= self._on_outputs(student, outliers, self.outlier_ramp(progress))
            terms |= self._on_mixtures(mixed, self.outlier_ramp(progress))
            share = self.separation_ramp(progress)
            terms |= self._on_features(student, targets, outliers, weight, basis, share)
        parts = {name: value for name, (_, value) in terms.items()}
        loss = sum((factor * part for factor, part in terms.values() if factor), start=0.0)
        return {"loss": loss, **parts}  # type: ignore[dict-item]

    def _distillations(self, student: Outputs, teacher: Outputs) -> Terms:
        terms: Terms = {}
        if self.distill_weight > 0:
            value = distillation(student.logits, teacher.logits, self.temperature)
            terms["distillation"] = (self.distill_weight, value)
        if self.feature_weight > 0:
            value = feature_distillation(student.features, teacher.features)
            terms["feature_distillation"] = (self.feature_weight, value)
        return terms

    def _on_outputs(self, student: Outputs, outliers: Outputs, share: float) -> Terms:
        terms: Terms = {}
        if self.exposure_weight > 0:
            value = outlier_exposure(outliers.logits)
            terms["outlier_exposure"] = (share * self.exposure_weight, value)
        if self.energy_weight > 0 and self.margins is not None:
            m_in, m_out = self.margins.margin_in, self.margins.margin_out
            value = energy_hinges(student.logits, outliers.logits, m_in, m_out)
            terms["energy_hinges"] = (share * self.energy_weight, value)
        return terms

    def _on_mixtures(self, mixed: tuple[Tensor, Tensor] | None, share: float) -> Terms:
        if self.mixing_weight == 0:
            return {}
        if mixed is None:
            reason = "pass mixed=(logits, targets), or set mixing_weight to 0"
            raise ConfigError("mixtures of images and outliers", "none", reason)
        return {"mixing": (share * self.mixing_weight, cross_entropy(*mixed))}

    def _on_features(
        self,
        student: Outputs,
        targets: Tensor,
        outliers: Outputs,
        weight: Tensor | None,
        basis: Tensor | None,
        share: float,
    ) -> Terms:
        terms: Terms = {}
        if self.separation_weight > 0:
            value = self._separation(outliers.features, weight, basis)
            terms["separation"] = (share * self.separation_weight, value)
        if self.clustering_weight > 0:
            value = clustering(student.features, targets, _present(weight, "weight"))
            terms["clustering"] = (share * self.clustering_weight, value)
        return terms

    def _separation(self, features: Tensor, weight: Tensor | None, basis: Tensor | None) -> Tensor:
        if self.subspace == "principal":
            return principal_separation(features, _present(basis, "basis"))
        return separation(features, _present(weight, "weight"), self.reduction)


Terms = dict[str, tuple[float, Tensor]]
"""Name of a term → its factor now, and its value."""


def _present(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ConfigError(
            "separation or clustering on features",
            f"no {name}",
            f"pass {name}=…, or set the weights of the two terms to 0",
        )
    return value
