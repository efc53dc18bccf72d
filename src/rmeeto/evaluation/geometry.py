"""Where features lie against the class weights and each other: neural collapse and shared subspaces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, ShapeError


@dataclass(frozen=True)
class Collapse:
    """How far the features of a classifier have collapsed onto a simplex; all are 0 when they have."""

    nc1: float
    """``tr(Σ_W Σ_B⁺) / K``: scatter within classes against scatter between them."""
    nc2_norms: float
    """Standard deviation of the norms of the centred class means, against their mean."""
    nc2_angles: float
    """Mean ``|cos(μ_i, μ_j) + 1/(K−1)|`` of centred class means, i ≠ j."""
    nc3: float
    """``‖W/‖W‖ − M/‖M‖‖`` (Frobenius): class weights against centred class means."""


def neural_collapse(features: Tensor, labels: Tensor, weight: Tensor) -> Collapse:
    """The first three properties of neural collapse, on the features of labelled images.

    Args:
        features: (n, C) inputs of the last linear layer.
        labels: (n,) int64; every class must occur.
        weight: (K, C) of the last linear layer, K ≥ 2.

    Raises:
        ShapeError: a class without images, or shapes that don't fit.

    Source: Papyan, Han & Donoho 2020, "Prevalence of neural collapse", properties NC1 to NC3;
    differs in: the features' global mean is that of the class means (equal on balanced images).
    """
    _check(features, weight)
    classes, h, w = len(weight), features.double(), weight.double()
    counts = torch.bincount(labels, minlength=classes)
    if len(counts) != classes or len(labels) != len(h) or not counts.all():
        given = f"{len(h)} features, {len(labels)} labels of {int((counts > 0).sum())} classes"
        raise ShapeError(f"features of all {classes} classes", given, "take a balanced draw")
    means = torch.zeros_like(w).index_add_(0, labels, h) / counts[:, None]
    within = h - means[labels]
    centred = means - means.mean(0)
    between = torch.linalg.pinv(centred.T @ centred / classes, hermitian=True)
    nc1 = torch.trace(within.T @ within / len(h) @ between) / classes
    norms = centred.norm(dim=1)
    unit = functional.normalize(centred, dim=1)
    others = ~torch.eye(classes, dtype=torch.bool)
    angles = (unit @ unit.T + 1 / (classes - 1)).abs()[others]
    nc3 = (w / w.norm() - centred / centred.norm()).norm()
    found = (nc1, norms.std(correction=0) / norms.mean(), angles.mean(), nc3)
    return Collapse(*map(float, found))


def predicted_cosine(features: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
    """(n,) cosine between each feature and the weight of the class that is predicted.

    Args:
        features: (n, C). logits: (n, K). weight: (K, C) of the last linear layer.

    Raises:
        ShapeError: shapes that don't fit.

    Source: Wu et al. 2025 (arXiv 2405.17816), table 7.
    """
    _check(features, weight)
    directions = functional.normalize(weight, dim=1)[logits.argmax(1)]
    return (functional.normalize(features.to(directions), dim=1) * directions).sum(1)


def outside_classes(features: Tensor, weight: Tensor) -> Tensor:
    """(n,) share of each feature's length that is orthogonal to all class weights, in [0, 1].

    ``‖h − P h‖ / ‖h‖`` with P the projection onto the span of the weights' rows. It is 0 for every
    feature where there are as many independent classes as channels.

    Args:
        features: (n, C). weight: (K, C) of the last linear layer.

    Raises:
        ShapeError: shapes that don't fit.

    Source: Wu et al. 2025 (arXiv 2405.17816), table 7, "reconstruction error".
    """
    _check(features, weight)
    basis = torch.linalg.svd(weight.double(), full_matrices=False)
    kept = basis.Vh[basis.S[0] * 1e-6 < basis.S]
    h = functional.normalize(features.double(), dim=1)
    return (h - h @ kept.T @ kept).norm(dim=1).to(features.dtype)


def subspace_overlap(a: Tensor, b: Tensor, k: int) -> float:
    """How much two sets of features share their main k directions: 1 all of them, 0 none.

    ``‖U_aᵀ U_b‖² / k`` with U the k main directions (not centred) of unit-length features. Two random
    subspaces of C channels have k/C.

    Args:
        a, b: (n, C) and (m, C) features.
        k: directions, 1 ≤ k ≤ C.

    Raises:
        ShapeError: widths that differ. ConfigError: k out of range.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        given = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ShapeError("features of one width", given, "take both from one model")
    if not 1 <= k <= a.shape[1]:
        raise ConfigError(f"1 to {a.shape[1]} directions", str(k), "the number of classes is usual")
    main = [torch.linalg.eigh(z.T @ z).eigenvectors[:, -k:] for z in map(_unit_double, (a, b))]
    return float((main[0].T @ main[1]).square().sum() / k)


def _unit_double(features: Tensor) -> Tensor:
    return functional.normalize(features.double(), dim=1)


def _check(features: Tensor, weight: Tensor) -> None:
    if features.ndim != 2 or weight.ndim != 2 or features.shape[1] != weight.shape[1]:
        given = f"{tuple(features.shape)} and weight {tuple(weight.shape)}"
        raise ShapeError("features (n, C) and a weight (K, C)", given, "the last layer's input")
