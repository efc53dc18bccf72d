"""Losses on outliers' outputs: plain loops, own-sample averages, margins."""

import math

import pytest
import torch

from rmeeto.errors import ConfigError, ShapeError, UnknownNameError
from rmeeto.objectives import (
    ENERGY_MARGINS,
    EnergyMargins,
    energy_hinges,
    energy_margins,
    free_energy,
    outlier_exposure,
)

K = 5


def rows(count, seed, scale=3.0):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, K, dtype=torch.float64, generator=g)


def test_outlier_exposure_in_plain_loops():
    logits, total = rows(7, 0), 0.0
    for row in logits.tolist():
        total += math.log(sum(math.exp(f) for f in row)) - sum(row) / K
    assert outlier_exposure(logits).item() == pytest.approx(total / 7)


def test_outlier_exposure_is_uniform_cross_entropy_and_least_at_log_k():
    logits = rows(4, 1)
    uniform = torch.full_like(logits, 1 / K)
    expected = torch.nn.functional.cross_entropy(logits, uniform)
    torch.testing.assert_close(outlier_exposure(logits), expected)
    assert outlier_exposure(torch.full((3, K), 2.5)).item() == pytest.approx(math.log(K))
    assert outlier_exposure(logits) > math.log(K)


def test_hand_worked_hinges_with_unequal_batches():
    # −logsumexp of (log 4, log 4) is −log 8 and so on: energies −log 8, −log 2 and −log 6 ×3.
    inside = torch.log(torch.tensor([[4.0, 4.0], [1.0, 1.0]], dtype=torch.float64))
    outside = torch.log(torch.tensor([[3.0, 3.0]] * 3, dtype=torch.float64))
    above = [max(0.0, -math.log(8) + 2) ** 2, max(0.0, -math.log(2) + 2) ** 2]
    below = max(0.0, -1 + math.log(6)) ** 2
    value = energy_hinges(inside, outside, margin_in=-2.0, margin_out=-1.0)
    assert value.item() == pytest.approx(sum(above) / 2 + below)


def test_no_loss_and_no_gradient_beyond_the_margins():
    inside = torch.full((4, K), 30.0, requires_grad=True)
    outside = torch.zeros(9, K, requires_grad=True)
    value = energy_hinges(inside, outside, -25.0, -7.0)
    value.backward()
    assert value.item() == 0
    assert inside.grad.abs().max() == 0
    assert outside.grad.abs().max() == 0


def test_repeating_the_outliers_changes_nothing():
    inside, outside = rows(4, 2), rows(3, 3)
    once = energy_hinges(inside, outside, -3.0, -1.0)
    torch.testing.assert_close(energy_hinges(inside, outside.repeat(5, 1), -3.0, -1.0), once)
    torch.testing.assert_close(outlier_exposure(outside.repeat(5, 1)), outlier_exposure(outside))


def test_half_precision_is_computed_in_fp32():
    half = rows(6, 4).bfloat16()
    assert outlier_exposure(half).dtype == torch.float32
    torch.testing.assert_close(outlier_exposure(half), outlier_exposure(half.float()))
    torch.testing.assert_close(free_energy(half), free_energy(half.float()))


def test_margins_are_met_by_their_share():
    energies_id, energies_aux = -20 + torch.arange(101.0) / 10, -8 + torch.arange(101.0) / 10
    margins = EnergyMargins.from_energies(energies_id, energies_aux, 0.25)
    assert margins == EnergyMargins(-17.5, -0.5)
    assert (energies_id <= margins.margin_in).float().mean() == pytest.approx(0.25, abs=0.01)
    assert (energies_aux >= margins.margin_out).float().mean() == pytest.approx(0.25, abs=0.01)


def test_refusals():
    with pytest.raises(ShapeError, match="leave the term out"):
        outlier_exposure(torch.zeros(0, K))
    with pytest.raises(ShapeError, match="one row for each image"):
        outlier_exposure(torch.zeros(K))
    with pytest.raises(ConfigError, match="lower energies"):
        EnergyMargins(-5.0, -23.0)
    with pytest.raises(ConfigError, match="lower energies"):
        EnergyMargins.from_energies(torch.full((9,), -1.0), torch.full((9,), -20.0))
    with pytest.raises(ConfigError, match=r"0\.25"):
        EnergyMargins.from_energies(torch.zeros(3), torch.zeros(3), 0.7)
    with pytest.raises(UnknownNameError, match="wrn40_2_cifar10"):
        energy_margins("wrn40_2_cifar1")


def test_presets():
    assert energy_margins("wrn40_2_cifar100") == EnergyMargins(-27.0, -5.0)
    assert all(m.margin_in < m.margin_out for m in ENERGY_MARGINS.values())
