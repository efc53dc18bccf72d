"""Risk–coverage and cascades in plain loops."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import aurc, cascade_curve, risk_coverage


def test_risk_coverage_by_hand():
    curve = risk_coverage([0.1, 0.2, 0.2, 0.9], [True, False, True, False])
    assert curve.threshold.tolist() == [0.1, 0.2, 0.9]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 3, 1 / 2])


def test_aurc_without_ties():
    risks = [0, 1 / 2, 1 / 3, 2 / 4]
    value = aurc([0.1, 0.2, 0.3, 0.9], [True, False, True, False])
    assert value == pytest.approx(sum(risks) / 4)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_the_mean_over_orders_of_tied_images(images):
    found = []
    for order in permutations(images):
        ranked = sorted(order, key=lambda image: image[0])  # stable: ties stay in this order
        errors = np.cumsum([not right for _, right in ranked])
        found.append((errors / np.arange(1, len(images) + 1)).mean())
    score, right = zip(*images, strict=True)
    assert aurc(score, right) == pytest.approx(np.mean(found))


def test_aurc_of_constant_scores_is_the_error():
    assert aurc(np.zeros(50), np.arange(50) < 40) == pytest.approx(0.2)


def test_cascade_in_plain_loops():
    g = np.random.default_rng(0)
    conf, small, full = np.round(g.random(200), 1), g.random(200) < 0.7, g.random(200) < 0.9
    curve = cascade_curve(conf, small, full, 2.0, 10.0)
    for t, handed, cost, accuracy in zip(
        curve.threshold, curve.handed_on, curve.cost, curve.accuracy, strict=True
    ):
        right = [f if c < t else s for c, s, f in zip(conf, small, full, strict=True)]
        share = sum(c < t for c in conf) / 200
        assert handed == pytest.approx(share)
        assert cost == pytest.approx(2 + 10 * share)
        assert accuracy == pytest.approx(100 * np.mean(right))
    assert curve.handed_on[0] == 0
    assert curve.handed_on[-1] == 1
    assert curve.accuracy[0] == pytest.approx(100 * small.mean())
    assert curve.accuracy[-1] == pytest.approx(100 * full.mean())
    assert (np.diff(curve.cost) > 0).all()


def test_refusals():
    with pytest.raises(ShapeError, match="2 booleans"):
        aurc([0.1, 0.2], [True])
    with pytest.raises(ShapeError, match="1 NaN"):
        risk_coverage([np.nan], [True])
    with pytest.raises(ShapeError, match="correct_full"):
        cascade_curve([0.1, 0.2], [True, True], [True], 1, 2)
    with pytest.raises(ConfigError, match="at least 0"):
        cascade_curve([0.1], [True], [True], -1, 2)
