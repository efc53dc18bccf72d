"""Separation and clustering: hand examples, geometry, where gradients may go, the narrow case."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.objectives import (
    SubspaceWarning,
    class_directions,
    clustering,
    feature_distillation,
    principal_basis,
    principal_separation,
    separation,
    subspace_warning,
)


def rows(count, width, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, dtype=torch.float64, generator=g)


def simplex(classes):
    """Class weights of a collapsed model: K unit vectors with cosines −1/(K − 1), in K + 1 channels."""
    centred = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return torch.nn.functional.pad(centred, (0, 1)) * 3.7


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def test_separation_in_plain_loops():
    features, weight = rows(6, 9, 0), rows(4, 9, 1)
    cosines = [[abs(cosine(h, w)) for w in weight.tolist()] for h in features.tolist()]
    expected = sum(sum(row) / 4 for row in cosines) / 6
    assert separation(features, weight).item() == pytest.approx(expected)
    assert separation(features, weight, "sum").item() == pytest.approx(4 * expected)


def test_hand_worked_example():
    weight = torch.tensor([[2.0, 0, 0], [0, 5.0, 0]])
    features = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 7.0]])
    assert separation(features, weight).item() == pytest.approx((3 / 5 + 4 / 5) / 2 / 2)
    assert clustering(features, torch.tensor([1, 0]), weight).item() == pytest.approx(0.8 / 2)


def test_zero_when_orthogonal():
    weight = torch.nn.functional.pad(rows(3, 4, 2), (0, 4))
    features = torch.nn.functional.pad(rows(5, 4, 3), (4, 0))
    assert separation(features, weight).item() == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 99))
def test_sum_is_classes_times_mean(classes, count, seed):
    features, weight = rows(count, 13, seed), rows(classes, 13, seed + 1)
    mean, total = (separation(features, weight, r) for r in ("mean", "sum"))
    torch.testing.assert_close(total, classes * mean)
    assert 0 <= mean <= 1


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_collapsed_feature_has_a_sum_of_two(classes):
    weight = simplex(classes)
    assert separation(5 * weight, weight, "sum").item() == pytest.approx(2)
    assert clustering(5 * weight, torch.arange(classes), weight).item() == pytest.approx(-1)


def test_no_gradient_reaches_the_class_weights():
    weight = rows(4, 9, 4).requires_grad_()
    for value in (
        lambda h: separation(h, weight),
        lambda h: clustering(h, torch.tensor([0, 1, 3]), weight),
    ):
        features = rows(3, 9, 5).requires_grad_()
        value(features).backward()
        assert weight.grad is None
        assert features.grad.abs().sum() > 0
    assert not class_directions(weight).requires_grad


def test_gradients_of_features():
    weight, labels = rows(4, 9, 6), torch.tensor([0, 1, 3])
    features = rows(3, 9, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: separation(h, weight), features)
    assert torch.autograd.gradcheck(lambda h: clustering(h, labels, weight), features)
    basis = principal_basis(rows(20, 9, 8), 0.6)
    assert torch.autograd.gradcheck(lambda h: principal_separation(h, basis), features)


def test_soft_labels_are_a_mixture_of_hard_ones():
    features, weight = rows(5, 9, 9), rows(4, 9, 10)
    a, b = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([3, 3, 1, 0, 2])
    one_hot = lambda y: torch.nn.functional.one_hot(y, 4).double()  # noqa: E731
    mixed = clustering(features, 0.3 * one_hot(a) + 0.7 * one_hot(b), weight)
    apart = 0.3 * clustering(features, a, weight) + 0.7 * clustering(features, b, weight)
    torch.testing.assert_close(mixed, apart)


@pytest.mark.parametrize(("width", "loud"), [(5, True), (6, True), (7, False)])
def test_warns_where_the_class_weights_span_everything(width, loud):
    assert (subspace_warning(width, 6) is not None) == loud
    features, weight = rows(3, width, 0), rows(6, width, 1)
    if loud:
        with pytest.warns(SubspaceWarning, match=f"{width} feature channels for 6 classes"):
            separation(features, weight)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            separation(features, weight)


def test_principal_basis_holds_the_energy_with_the_fewest_directions():
    scales = torch.tensor([5.0, 3.0, 1.0, 0.3, 0.1, 0.05], dtype=torch.float64)
    features = rows(500, 6, 2) * scales
    basis = principal_basis(features, 0.9)
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    assert principal_separation(features, basis) >= 0.9
    assert principal_separation(features, basis[:, :-1]) < 0.9
    assert 1 <= basis.shape[1] < 6
    assert not basis.requires_grad


def test_principal_basis_always_leaves_a_direction():
    features = rows(400, 4, 3)  # energy spread evenly: 99.9 % needs all four directions
    assert principal_basis(features, 0.999).shape == (4, 3)
    assert principal_basis(rows(1, 4, 3)).shape == (4, 1)


def test_principal_separation_in_plain_loops():
    basis, features = principal_basis(rows(50, 5, 4), 0.7), rows(3, 5, 5)
    expected = sum(sum(cosine(h, p) ** 2 for p in basis.T.tolist()) for h in features.tolist()) / 3
    assert principal_separation(features, basis).item() == pytest.approx(expected)


def test_principal_separation_reaches_zero_where_separation_cannot():
    """Three channels and eight classes whose features lie in a plane."""
    g = torch.Generator().manual_seed(6)
    plane = torch.nn.functional.pad(torch.randn(64, 2, generator=g), (0, 1))
    outlier = torch.tensor([[0.0, 0.0, 2.0]])
    weight = torch.randn(8, 3, generator=g)
    assert principal_separation(outlier, principal_basis(plane)).item() == pytest.approx(0)
    with pytest.warns(SubspaceWarning):
        assert separation(outlier, weight).item() > 0.1


def test_feature_distillation():
    student, teacher = rows(4, 6, 7), rows(4, 6, 8)
    pairs = zip(student.tolist(), teacher.tolist(), strict=True)
    expected = sum(1 - cosine(a, b) for a, b in pairs) / 4
    assert feature_distillation(student, teacher).item() == pytest.approx(expected)
    assert feature_distillation(student, 3 * student).item() == pytest.approx(0)
    assert feature_distillation(student, -student).item() == pytest.approx(2)
    teacher.requires_grad_()
    feature_distillation(student.requires_grad_(), teacher).backward()
    assert teacher.grad is None
    with pytest.raises(ShapeError, match="same width"):
        feature_distillation(student, teacher[:, :5])


def test_refusals():
    features, weight = rows(3, 9, 0), rows(4, 9, 1)
    with pytest.raises(ShapeError, match="enter the last linear layer"):
        separation(features[:, :8], weight)
    with pytest.raises(ConfigError, match="paper's formula"):
        separation(features, weight, "total")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"0\.95"):
        principal_basis(features, 1.0)
    with pytest.raises(ShapeError, match="orthogonal"):
        principal_basis(features[:, :1])
    with pytest.raises(ShapeError, match="leave the term out"):
        separation(features[:0], weight)


def test_half_precision_is_computed_in_fp32():
    features, weight = rows(3, 9, 0).bfloat16(), rows(4, 9, 1).bfloat16()
    torch.testing.assert_close(
        separation(features, weight), separation(features.float(), weight.float())
    )
    assert clustering(features, torch.tensor([0, 1, 2]), weight).dtype == torch.float32
