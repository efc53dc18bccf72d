"""Feature geometry: exact on simplexes and axes, where every number is known."""

import math

import pytest
import torch

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import neural_collapse, outside_classes, predicted_cosine, subspace_overlap


def simplex(classes, width):
    """(K, C) vertices of a regular simplex around 0."""
    return (torch.eye(classes, width) - torch.eye(classes, width).mean(0)).double()


def test_a_collapsed_model_has_zeros():
    weight = simplex(5, 8)
    labels = torch.arange(5).repeat(6)
    found = neural_collapse(3 * weight[labels] + 7, labels, 2 * weight)
    assert all(value == pytest.approx(0, abs=1e-7) for value in vars(found).values())


def test_each_property_is_seen_alone():
    weight, labels = simplex(4, 6), torch.arange(4).repeat(500)
    noise = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0)).double()
    spread = neural_collapse(weight[labels] + 0.1 * noise, labels, weight)
    # Σ_W = 0.01·I; Σ_B has the eigenvalue 1/4 three times: 3 · 0.01 · 4 / 4 classes.
    assert spread.nc1 == pytest.approx(0.03, rel=0.1)
    longer = torch.tensor([1.0, 1.0, 1.0, 3.0]).double()[:, None] * weight
    uneven = neural_collapse(longer[labels], labels, weight)
    assert uneven.nc1 == pytest.approx(0, abs=1e-9)
    assert min(uneven.nc2_norms, uneven.nc2_angles, uneven.nc3) > 0.05
    turned = neural_collapse(weight[labels], labels, -weight)
    assert turned.nc3 == pytest.approx(2)
    assert turned.nc2_norms == pytest.approx(0, abs=1e-7)


def test_cosine_to_the_predicted_class_and_share_outside():
    weight = torch.eye(2, 4) * torch.tensor([[2.0], [5.0]])
    features = torch.tensor([[3.0, 0, 0, 0], [0, 0, 1.0, 0], [1.0, 1, 1, 1], [0, -1.0, 0, 0]])
    logits = torch.tensor([[1.0, 0], [0, 1.0], [0, 1.0], [0, 1.0]])
    assert predicted_cosine(features, logits, weight).tolist() == pytest.approx([1, 0, 0.5, -1])
    assert outside_classes(features, weight).tolist() == pytest.approx([0, 1, math.sqrt(0.5), 0])
    twice = torch.cat([weight, weight])  # dependent rows span no more
    assert torch.equal(outside_classes(features, twice), outside_classes(features, weight))


def test_overlap_of_subspaces():
    axes = torch.eye(6)
    assert subspace_overlap(axes[:3], 4 * axes[:3], 3) == pytest.approx(1)
    assert subspace_overlap(axes[:3], axes[3:], 3) == pytest.approx(0)
    assert subspace_overlap(axes[:3], axes[2:5], 3) == pytest.approx(1 / 3)
    assert subspace_overlap(axes, torch.randn(50, 6), 6) == pytest.approx(1)


def test_refusals():
    features, weight = torch.randn(4, 3), torch.randn(2, 3)
    with pytest.raises(ShapeError, match="all 2 classes"):
        neural_collapse(features, torch.zeros(4, dtype=torch.long), weight)
    with pytest.raises(ShapeError, match="weight"):
        outside_classes(features, torch.randn(2, 5))
    with pytest.raises(ShapeError, match="one width"):
        subspace_overlap(features, torch.randn(4, 5), 2)
    with pytest.raises(ConfigError, match="1 to 3 directions"):
        subspace_overlap(features, features, 4)
