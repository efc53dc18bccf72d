"""Calibration metrics in plain loops, temperature by its optimality condition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import (
    TemperatureBoundWarning,
    adaptive_ece,
    brier,
    ece,
    fit_temperature,
    nll,
)


@pytest.fixture
def case():
    g = np.random.default_rng(0)
    labels = g.integers(0, 5, 400)
    logits = g.normal(size=(400, 5)) * 2
    logits[np.arange(400), labels] += 2
    return logits, labels


def softmax(row):
    exps = [math.exp(f - max(row)) for f in row]
    return [e / sum(exps) for e in exps]


def test_nll_and_brier_in_plain_loops(case):
    likelihood = squares = 0.0
    for row, label in zip(case[0].tolist(), case[1].tolist(), strict=True):
        p = softmax(row)
        likelihood -= math.log(p[label])
        squares += sum((p[k] - (k == label)) ** 2 for k in range(5))
    assert nll(*case) == pytest.approx(likelihood / 400)
    assert brier(*case) == pytest.approx(squares / 400)


@pytest.mark.parametrize("bins", [1, 2, 15, 40])
def test_ece_in_plain_loops(case, bins):
    total = 0.0
    tops = [(max(p), p.index(max(p)) == y) for p, y in _rows(case)]
    for b in range(bins):
        inside = [(c, r) for c, r in tops if b / bins < c <= (b + 1) / bins]
        if inside:
            accuracy = sum(r for _, r in inside) / len(inside)
            confidence = sum(c for c, _ in inside) / len(inside)
            total += len(inside) / 400 * abs(accuracy - confidence)
    assert ece(*case, bins) == pytest.approx(total)


def _rows(case):
    return [(softmax(r), y) for r, y in zip(case[0].tolist(), case[1].tolist(), strict=True)]


def test_adaptive_ece_in_plain_loops(case):
    tops = sorted((max(p), p.index(max(p)) == y) for p, y in _rows(case))
    total = 0.0
    for b in range(8):
        part = tops[50 * b : 50 * (b + 1)]
        total += abs(sum(r for _, r in part) - sum(c for c, _ in part)) / 400
    assert adaptive_ece(*case, bins=8) == pytest.approx(total)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_the_order_of_images_plays_no_part(seed):
    g = np.random.default_rng(seed)
    logits, labels = np.round(g.normal(size=(40, 2)) * 2) / 2, g.integers(0, 2, 40)  # many ties
    mixed = g.permutation(40)
    for metric in (ece, adaptive_ece, brier, nll):
        assert metric(logits[mixed], labels[mixed]) == pytest.approx(metric(logits, labels))


def test_edges_belong_to_the_lower_bin():
    logits = np.log([[1, 1], [9, 1]])  # confidence 0.5, wrong; confidence 0.9, right
    assert ece(logits, np.array([1, 0]), bins=2) == pytest.approx((0.5 + 0.1) / 2)
    assert ece(logits, np.array([1, 0]), bins=1) == pytest.approx((0.5 - 0.1) / 2)


def test_half_precision_and_large_logits():
    logits = np.array([[3.0, 1.0], [60_000.0, -60_000.0]], np.float16)
    assert nll(logits, np.array([0, 0])) == pytest.approx(math.log(1 + math.exp(-2)) / 2)
    assert brier(1e30 * np.eye(3), np.arange(3)) == 0


def test_temperature_has_zero_slope_and_beats_its_neighbours(case):
    t = fit_temperature(*case)
    best = nll(case[0] / t, case[1])
    assert best < nll(*case) or t == pytest.approx(1)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2):
        assert best < nll(case[0] / (factor * t), case[1])


@pytest.mark.parametrize("scale", [0.05, 1.0, 7.0, 30.0])
def test_temperature_undoes_a_scale(case, scale):
    base = fit_temperature(*case)
    assert fit_temperature(case[0] * scale, case[1]) == pytest.approx(base * scale, rel=1e-6)


def test_temperature_of_calibrated_logits_is_one():
    g = np.random.default_rng(3)
    logits = g.normal(size=(60_000, 4)) * 2
    labels = (logits + g.gumbel(size=logits.shape)).argmax(1)  # drawn from softmax(logits)
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.02)
    assert ece(logits, labels) < 0.01
    assert ece(4 * logits, labels) > 0.1


def test_temperature_at_its_bounds():
    logits = np.eye(3)
    with pytest.warns(TemperatureBoundWarning, match=r"took 0\.01"):
        assert fit_temperature(logits, np.arange(3)) == pytest.approx(0.01)
    with pytest.warns(TemperatureBoundWarning, match="took 100"):
        assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(100)


def test_refusals(case):
    with pytest.raises(ShapeError, match="1 NaN and 1 infinite"):
        nll(np.array([[np.nan, np.inf]]), np.array([0]))
    with pytest.raises(ShapeError, match="same n"):
        brier(case[0], case[1][:9])
    with pytest.raises(ShapeError, match="whole labels from 0 to 4"):
        nll(case[0], case[1] + 1)
    with pytest.raises(ShapeError, match="whole labels"):
        nll(case[0], case[1].astype(float))
    with pytest.raises(ConfigError, match="15"):
        ece(*case, bins=0)
