"""Distances to class means in the metric of the features' covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rmeeto.errors import ScoreError, ShapeError

from .base import Needs, Score
from .checks import refuse_non_finite
from .common import SCORES, class_means, features_of, labels_of
from .fitted import Statistics
from .outputs import Head, Outputs


@dataclass(frozen=True)
class GaussianScore(Score):
    """What the Mahalanobis scores share: fp64 statistics and a shrinkage towards a sphere."""

    needs: ClassVar[Needs] = "features"
    fitted: ClassVar[bool] = True
    labelled: ClassVar[bool] = True

    shrinkage: float = 0.0
    """s in [0, 1]: Σ becomes (1 − s)·Σ + s·(tr Σ / d)·I; 0 as in the paper"""

    def __post_init__(self) -> None:
        self._require(0 <= self.shrinkage <= 1, "shrinkage", "use 0 up to 1")

    def _class_statistics(self, train: Outputs) -> Statistics:
        return self._statistics_of(features_of(train), train)

    def _statistics_of(self, features: Tensor, train: Outputs) -> Statistics:
        h, labels = features.double(), labels_of(train)
        means, count = class_means(h, labels, train.logits.shape[1])
        origin, whiten = h.mean(0), whitening(h - means[labels], self.shrinkage)
        if whiten.shape[1] == 0:
            reason = "give several different images of each class"
            raise ScoreError(f"to fit the score {self.name}", "no variance within classes", reason)
        centres = (means[count > 0] - origin) @ whiten
        return {"origin": origin, "whiten": whiten, "centres": centres}


@SCORES.register("mahalanobis")
@dataclass(frozen=True)
class Mahalanobis(GaussianScore):
    """``min_c (h − μ_c)ᵀ Σ⁺ (h − μ_c)``: class means μ_c, one covariance Σ within classes; ≥ 0.

    Σ is the maximum-likelihood estimate. Σ⁺ is its pseudo-inverse: directions without variance
    among the fitted features do not count; with n < d use ``shrinkage``.

    Source: Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples
    and Adversarial Attacks", equations 1 and 2; differs in: last layer only, no input step, no
    regression on outliers.
    """

    name: ClassVar[str] = "mahalanobis"

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        return self._class_statistics(train)

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return nearest_class(features_of(outputs), statistics)


@SCORES.register("relative_mahalanobis")
@dataclass(frozen=True)
class RelativeMahalanobis(GaussianScore):
    """``min_c MD_c(h) − MD_0(h)``: Mahalanobis less the distance to all features' mean under their
    covariance, which cancels directions in which every class varies. Any sign.

    Source: Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for Improving Near-OOD
    Detection".
    """

    name: ClassVar[str] = "relative_mahalanobis"

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        h = features_of(train).double()
        background = whitening(h - h.mean(0), self.shrinkage)
        return {**self._class_statistics(train), "background": background}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        h = features_of(outputs)
        centred = (h.double() - statistics["origin"]) @ statistics["background"]
        return nearest_class(h, statistics) - centred.square().sum(1)


@SCORES.register("mahalanobis_layers")
@dataclass(frozen=True)
class MahalanobisLayers(GaussianScore):
    """``(1/L) Σ_l MD_l(h_l) / mean_ID MD_l``: Mahalanobis in the last layer and in earlier ones; ≥ 0.

    Each layer has class means and a covariance of its own, and counts in units of the mean distance of
    the images that it was fitted on, because equal weights need equal scales and there are no outliers to
    learn others from.

    Source: Lee et al. 2018 (as `Mahalanobis`), section 2.2, feature ensemble; differs in: equal weights
    instead of a regression on outliers, no input step.
    """

    name: ClassVar[str] = "mahalanobis_layers"
    layered: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        found: Statistics = {}
        for index, features in enumerate(self._layers(train)):
            own = self._statistics_of(features, train)
            own["scale"] = nearest_class(features, own).mean()
            found |= {f"{index}.{key}": value for key, value in own.items()}
        return found

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        layers = self._layers(outputs)
        count = sum(key.endswith(".scale") for key in statistics)
        fitted = [len(statistics[f"{index}.origin"]) for index in range(count)]
        given = [features.shape[1] for features in layers]
        if given != fitted:
            asked = f"the score {self.name} fitted to layers of widths {fitted}"
            raise ShapeError(asked, f"layers of widths {given}", "fit it again for this model")
        parts = []
        for index, features in enumerate(layers):
            own = {key: statistics[f"{index}.{key}"] for key in _OF_A_LAYER}
            parts.append(nearest_class(features, own) / own["scale"])
        return torch.stack(parts).mean(0)

    def _layers(self, outputs: Outputs) -> list[Tensor]:
        if not outputs.layers:
            reason = "collect them with evaluation.collect(…, layers=quarter_layers(model))"
            raise ScoreError(f"the score {self.name}", "outputs without earlier layers", reason)
        for layer in outputs.layers:
            refuse_non_finite(self.name, "features of a layer", layer)
        return [*outputs.layers, features_of(outputs)]


_OF_A_LAYER = ("origin", "whiten", "centres", "scale")


def whitening(residuals: Tensor, shrinkage: float) -> Tensor:
    """A matrix V (d, rank) with ``V Vᵀ = Σ⁺``, Σ the second moment of (n, d) centred residuals.

    Eigenvalues under d · ε · the largest (ε of fp64) are taken for 0 and inverted to 0.
    """
    d = residuals.shape[1]
    covariance = residuals.T @ residuals / len(residuals)
    sphere = torch.eye(d, dtype=covariance.dtype, device=covariance.device) * covariance.trace() / d
    values, vectors = torch.linalg.eigh(torch.lerp(covariance, sphere, shrinkage))
    kept = values > d * torch.finfo(values.dtype).eps * values[-1]
    return vectors[:, kept] / values[kept].sqrt()


def nearest_class(features: Tensor, statistics: Statistics) -> Tensor:
    """(n,) fp64 squared distance of (n, d) features to the nearest of the whitened centres."""
    centres = statistics["centres"]
    x = (features.double() - statistics["origin"]) @ statistics["whiten"]
    cross = centres.square().sum(1) - 2 * x @ centres.T
    return (x.square().sum(1) + cross.amin(1)).clamp_min(0)
