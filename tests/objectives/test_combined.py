"""The combined objective: which terms, which weights, when, and over which images."""

import pytest
import torch

from rmeeto.config import from_dict, to_dict
from rmeeto.errors import ConfigError
from rmeeto.objectives import (
    EnergyMargins,
    Outputs,
    Ramp,
    SubspaceWarning,
    TrustObjective,
    clustering,
    cross_entropy,
    distillation,
    energy_hinges,
    feature_distillation,
    logit_norm,
    outlier_exposure,
    principal_basis,
    principal_separation,
    separation,
)

B, A, K, C = 5, 8, 4, 7
LABELS = torch.tensor([0, 3, 2, 2, 1])


def outputs(count, seed):
    g = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.randn(count, n, dtype=torch.float64, generator=g)  # noqa: E731
    return Outputs(3 * draw(K), draw(C))


STUDENT, TEACHER, OUTLIERS, WEIGHT = (
    outputs(B, 0), outputs(B, 1), outputs(A, 2), outputs(K, 3).features,
)  # fmt: skip


def test_all_terms_by_hand():
    objective = TrustObjective(
        smoothing=0.1, distill_weight=0.7, temperature=3.0, feature_weight=0.4, exposure_weight=0.5,
        energy_weight=0.1, margins=EnergyMargins(-9.0, -1.0), separation_weight=2.0,
        clustering_weight=0.3,
    )  # fmt: skip
    losses = objective(STUDENT, LABELS, TEACHER, OUTLIERS, WEIGHT)
    expected = {
        "cross_entropy": (1.0, cross_entropy(STUDENT.logits, LABELS, 0.1)),
        "distillation": (0.7, distillation(STUDENT.logits, TEACHER.logits, 3.0)),
        "feature_distillation": (0.4, feature_distillation(STUDENT.features, TEACHER.features)),
        "outlier_exposure": (0.5, outlier_exposure(OUTLIERS.logits)),
        "energy_hinges": (0.1, energy_hinges(STUDENT.logits, OUTLIERS.logits, -9.0, -1.0)),
        "separation": (2.0, separation(OUTLIERS.features, WEIGHT)),
        "clustering": (0.3, clustering(STUDENT.features, LABELS, WEIGHT)),
    }
    assert list(losses) == ["loss", *expected]
    for name, (_, value) in expected.items():
        torch.testing.assert_close(losses[name], value)
    total = sum(factor * value for factor, value in expected.values())
    torch.testing.assert_close(losses["loss"], total)


def test_terms_are_averaged_over_their_own_images():
    objective = TrustObjective()
    once = objective(STUDENT, LABELS, TEACHER, OUTLIERS, WEIGHT)
    twice = Outputs(OUTLIERS.logits.repeat(2, 1), OUTLIERS.features.repeat(2, 1))
    for name, value in objective(STUDENT, LABELS, TEACHER, twice, WEIGHT).items():
        torch.testing.assert_close(value, once[name])


def test_without_outliers_or_teacher():
    assert list(TrustObjective()(STUDENT, LABELS)) == ["loss", "cross_entropy"]
    names = list(TrustObjective()(STUDENT, LABELS, TEACHER, weight=WEIGHT))
    assert names == ["loss", "cross_entropy", "distillation", "feature_distillation"]


def test_a_weight_of_zero_leaves_the_term_out():
    none = TrustObjective(
        distill_weight=0.0, feature_weight=0.0, exposure_weight=0.0, separation_weight=0.0,
        clustering_weight=0.0,
    )  # fmt: skip
    losses = none(STUDENT, LABELS, TEACHER, OUTLIERS)
    assert list(losses) == ["loss", "cross_entropy"]
    assert losses["loss"] == losses["cross_entropy"]


def test_reduction_is_a_factor_of_classes():
    mean = TrustObjective(separation_weight=1.0 * K)(STUDENT, LABELS, None, OUTLIERS, WEIGHT)
    total = TrustObjective(separation_weight=1.0, reduction="sum")(
        STUDENT, LABELS, None, OUTLIERS, WEIGHT
    )
    torch.testing.assert_close(mean["loss"], total["loss"])


def test_principal_subspace():
    basis = principal_basis(STUDENT.features, 0.6)
    objective = TrustObjective(subspace="principal", clustering_weight=0.0)
    losses = objective(STUDENT, LABELS, None, OUTLIERS, basis=basis)
    torch.testing.assert_close(losses["separation"], principal_separation(OUTLIERS.features, basis))


def test_no_gradient_reaches_weights_or_teacher():
    tensors = [t.clone().requires_grad_() for t in (WEIGHT, TEACHER.logits, TEACHER.features)]
    student = Outputs(*(t.clone().requires_grad_() for t in (STUDENT.logits, STUDENT.features)))
    teacher = Outputs(tensors[1], tensors[2])
    TrustObjective()(student, LABELS, teacher, OUTLIERS, tensors[0])["loss"].backward()
    assert all(t.grad is None for t in tensors)
    assert student.logits.grad.abs().sum() > 0
    assert student.features.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("ramp", "shares"),
    [
        (Ramp(), [1, 1, 1, 1, 1]),
        (Ramp(0.5, 0.5), [0, 0, 1, 1, 1]),
        (Ramp(0.5, 1.0), [0, 0, 0, 0.5, 1]),
        (Ramp(0.25, 0.75), [0, 0, 0.5, 1, 1]),
        (Ramp(1.0, 1.0), [0, 0, 0, 0, 1]),
    ],
)
def test_ramp(ramp, shares):
    assert [ramp(p / 4) for p in range(5)] == pytest.approx(shares)


def test_ramps_move_the_weights_and_not_the_parts():
    objective = TrustObjective(outlier_ramp=Ramp(0.5, 0.5), separation_ramp=Ramp(0.5, 1.0))
    at = {p: objective(STUDENT, LABELS, None, OUTLIERS, WEIGHT, None, p) for p in (0, 0.5, 0.75, 1)}
    assert len({tuple(losses) for losses in at.values()}) == 1
    ce, oe = at[0]["cross_entropy"], at[0]["outlier_exposure"]
    features = at[0]["separation"] + 0.1 * at[0]["clustering"]
    torch.testing.assert_close(at[0]["loss"], ce)
    torch.testing.assert_close(at[0.5]["loss"], ce + 0.5 * oe)
    torch.testing.assert_close(at[0.75]["loss"], ce + 0.5 * oe + 0.5 * features)
    torch.testing.assert_close(at[1]["loss"], ce + 0.5 * oe + features)


def test_a_term_that_is_off_cannot_spoil_the_loss():
    broken = Outputs(torch.full((A, K), float("nan"), dtype=torch.float64), OUTLIERS.features)
    losses = TrustObjective(outlier_ramp=Ramp(0.5, 0.5))(
        STUDENT, LABELS, None, broken, WEIGHT, None, 0.0
    )
    assert torch.isfinite(losses["loss"])


def test_warns_on_a_narrow_model():
    wide = torch.zeros(C, C, dtype=torch.float64) + torch.eye(C, dtype=torch.float64)
    student = Outputs(torch.zeros(B, C, dtype=torch.float64), STUDENT.features)
    outliers = Outputs(torch.zeros(A, C, dtype=torch.float64), OUTLIERS.features)
    with pytest.warns(SubspaceWarning, match="principal_separation"):
        TrustObjective()(student, LABELS, None, outliers, wide)


def test_refusals():
    with pytest.raises(ConfigError, match="from_energies"):
        TrustObjective(energy_weight=0.1)
    with pytest.raises(ConfigError, match="distill_weight"):
        TrustObjective(distill_weight=-1.0)
    with pytest.raises(ConfigError, match="start ≤ end"):
        Ramp(0.6, 0.5)
    with pytest.raises(ConfigError, match="paper's formula"):
        TrustObjective(reduction="total")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="principal"):
        TrustObjective(subspace="pca")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pass weight"):
        TrustObjective()(STUDENT, LABELS, None, OUTLIERS)
    with pytest.raises(ConfigError, match="pass basis"):
        TrustObjective(subspace="principal")(STUDENT, LABELS, None, OUTLIERS, WEIGHT)


def test_round_trips_through_config():
    objective = TrustObjective(
        margins=EnergyMargins(-9.0, -1.0), energy_weight=0.1, separation_ramp=Ramp(0.5, 1.0)
    )
    assert from_dict(TrustObjective, to_dict(objective)) == objective


def test_logit_norm_takes_the_place_of_the_cross_entropy():
    g = torch.Generator().manual_seed(9)
    class_weights = torch.rand(K, dtype=torch.float64, generator=g)
    found = TrustObjective(smoothing=0.1, logit_norm=0.04)(
        STUDENT, LABELS, class_weights=class_weights
    )
    expected = logit_norm(STUDENT.logits, LABELS, 0.04, 0.1, class_weights)
    assert list(found) == ["loss", "logit_norm"]
    assert found["loss"] == found["logit_norm"] == expected
    assert expected != cross_entropy(STUDENT.logits, LABELS, 0.1, class_weights)
    with pytest.raises(ConfigError, match="logit_norm above 0"):
        TrustObjective(logit_norm=0.0)


def test_mixtures_count_by_their_weight_and_ramp():
    targets = torch.softmax(OUTLIERS.logits[:B], 1)
    mixed = (TEACHER.logits, targets)
    objective = TrustObjective(mixing_weight=0.7, outlier_ramp=Ramp(0.0, 1.0))
    given = (STUDENT, LABELS, None, OUTLIERS, WEIGHT)
    found = objective(*given, progress=0.5, mixed=mixed)
    without = TrustObjective(outlier_ramp=Ramp(0.0, 1.0))(*given, progress=0.5)
    assert found["mixing"] == cross_entropy(TEACHER.logits, targets)
    torch.testing.assert_close(found["loss"], without["loss"] + 0.35 * found["mixing"])
    with pytest.raises(ConfigError, match="mixtures"):
        objective(*given)
