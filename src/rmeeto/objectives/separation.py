"""Losses on features: outliers off the directions that ID features use, ID images onto them."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, ShapeError
from .outlier import check_rows
from .supervised import at_least_float32

OverClasses = Literal["mean", "sum"]


class SubspaceWarning(UserWarning):
    """Features have no directions left that are orthogonal to all class weights."""


def separation(features_aux: Tensor, weight: Tensor, reduction: OverClasses = "mean") -> Tensor:
    """Mean absolute cosine between outlier features and the class directions.

    ``L = (1/A) Σ_a (1/K) Σ_i |z_a · w_i|`` with ``z = h/‖h‖`` and ``w_i`` the unit row i of the
    last linear layer; ``reduction="sum"`` leaves out 1/K and so is K times as large. Weights are
    detached: the loss moves features only. The layer's bias plays no part.

    Args:
        features_aux: (A, C) inputs of the last linear layer for the outliers, any floating type.
        weight: (K, C) of the last linear layer; gets no gradient.
        reduction: over classes. "mean" is the paper's formula, "sum" what its CIFAR code ran.

    Returns:
        scalar ≥ 0, at most 1 for the mean and K for the sum; 0 when the outliers are orthogonal to
        every class. A perfectly collapsed ID feature (simplex) has a sum of exactly 2.

    Raises:
        ShapeError: shapes that don't fit. ConfigError: another ``reduction``. Warns with
        `SubspaceWarning` where C ≤ K.

    Source: Wu et al. 2025, "Pursuing Feature Separation for OOD Detection" (arXiv 2405.17816),
    the separation loss among equations 3 to 6; detaching as in the authors' code, the paper does not say.
    """
    features, directions = _unit(features_aux, "features of outliers"), class_directions(weight)
    _check_width(features, directions)
    text = subspace_warning(features.shape[1], len(directions))
    if text:
        warnings.warn(text, SubspaceWarning, stacklevel=2)
    cosines = (features @ directions.to(features.dtype).T).abs()
    if reduction == "sum":
        return cosines.sum(-1).mean()
    if reduction == "mean":
        return cosines.mean()
    raise ConfigError("reduction 'mean' or 'sum'", repr(reduction), "'mean' is the paper's formula")


def clustering(features_id: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Minus the cosine between ID features and their own class direction, mean over the batch.

    ``L = −(1/B) Σ_b z_b · w_y``; for soft targets ``−(1/B) Σ_b Σ_k t_bk z_b · w_k``, which is linear
    in the target. Weights are detached, the bias plays no part.

    Args:
        features_id: (B, C) inputs of the last linear layer, any floating type.
        labels: (B,) int64 labels or (B, K) probabilities (mixup, cutmix: our extension).
        weight: (K, C) of the last linear layer; gets no gradient.

    Returns:
        scalar in [−1, 1]; −1 when every feature points along its class weight.

    Raises:
        ShapeError: shapes that don't fit.

    Source: Wu et al. 2025 (arXiv 2405.17816), equations 3 to 6. Helps only beside `separation`: alone
    it made detection worse in the paper's ablation.
    """
    features, directions = _unit(features_id, "features of ID images"), class_directions(weight)
    _check_width(features, directions)
    cosines = features @ directions.to(features.dtype).T
    if labels.is_floating_point():
        return -(cosines * labels.to(cosines.dtype)).sum(-1).mean()
    return -cosines.gather(1, labels[:, None]).mean()


def principal_basis(features_id: Tensor, energy: float = 0.95) -> Tensor:
    """Orthonormal directions that hold a share of the energy of unit-length ID features.

    The largest k eigenvectors of ``(1/n) Σ z zᵀ``, k the fewest whose mean ‖P_k z‖² reaches
    ``energy``, at most C − 1. Not centred: a mean that all classes share counts as a direction.

    Args:
        features_id: (n, C) of ID images, n ≥ 1, C ≥ 2; the more images the better.
        energy: share in (0, 1).

    Returns:
        (C, k) with 1 ≤ k < C, without gradient, in fp32 (fp64 for fp64 features).

    Raises:
        ShapeError: fewer than two channels or no images. ConfigError: energy out of range.

    Source: ours, an extension of arXiv 2405.17816 that its authors did not measure.
    """
    if not 0 < energy < 1:
        raise ConfigError("energy in (0, 1)", str(energy), "0.95 is the default")
    features = _unit(features_id.detach(), "features of ID images")
    if features.shape[1] < 2:
        raise ShapeError("features with two channels or more", "one", "nothing is orthogonal to it")
    z = features.double()
    values, vectors = torch.linalg.eigh(z.T @ z / len(z))
    held = values.flip(0).cumsum(0)
    k = min(int((held < energy).sum()) + 1, features.shape[1] - 1)
    return vectors.flip(1)[:, :k].to(features.dtype).contiguous()


def principal_separation(features_aux: Tensor, basis: Tensor) -> Tensor:
    """Mean energy of unit-length outlier features within a subspace of the ID features.

    ``L = (1/A) Σ_a ‖P_k z_a‖²``. For models whose feature width is at most the number of classes,
    where `separation` cannot reach 0; its scale does not depend on the number of classes.

    Args:
        features_aux: (A, C) inputs of the last linear layer for the outliers.
        basis: (C, k) orthonormal, from `principal_basis` of the current model; gets no gradient.

    Returns:
        scalar in [0, 1]; ID images themselves have about the ``energy`` of the basis.

    Raises:
        ShapeError: widths that differ.

    Source: ours, an extension of arXiv 2405.17816; experimental until measured.
    """
    features = _unit(features_aux, "features of outliers")
    _check_width(features, basis.T)
    return (features @ basis.detach().to(features.dtype)).square().sum(-1).mean()


def class_directions(weight: Tensor) -> Tensor:
    """Unit rows of the last linear layer's weight, (K, C) → (K, C), detached."""
    return _unit(weight.detach(), "weight of the last layer")


def subspace_warning(width: int, classes: int) -> str | None:
    """What is wrong with `separation` at this feature width, or None where there is room.

    Args:
        width: C, feature channels.
        classes: K.
    """
    if width > classes:
        return None
    return (
        f"{width} feature channels for {classes} classes: the class weights span every direction, "
        "so outliers cannot become orthogonal to all of them and the separation loss can do little; "
        "use principal_separation (ours), or a wider layer's features"
    )


def _unit(values: Tensor, what: str) -> Tensor:
    return functional.normalize(at_least_float32(check_rows(values, what)), dim=-1)


def _check_width(features: Tensor, directions: Tensor) -> None:
    if directions.ndim != 2 or features.shape[1] != directions.shape[1]:
        raise ShapeError(
            "features and directions of one width",
            f"{features.shape[1]} channels and directions {tuple(directions.shape)}",
            "take the features that enter the last linear layer, and that layer's weight",
        )
