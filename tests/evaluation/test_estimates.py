"""Estimates: draws that pair up, means that keep what sets share, errors found among answers."""

import numpy as np
import pytest

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import (
    DetectionScores,
    Estimate,
    auroc,
    bootstrap,
    detection_estimates,
    error_detection,
    estimate,
)

RIGHT = np.random.default_rng(0).random(400) < 0.8


def test_mean_of_flags_has_the_interval_of_the_bootstrap():
    found = estimate(lambda picks: RIGHT[picks].mean(), 400, n=2000).interval("%")
    known = bootstrap(RIGHT)
    assert found.value == known.value
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.6)


def test_equal_statistics_differ_by_nothing_and_others_in_pairs():
    a, b = (estimate(lambda picks: RIGHT[picks].mean(), 400, seed=3, n=50) for _ in range(2))
    gap = (a - b).interval("pt")
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    shifted = estimate(lambda picks: RIGHT[picks].mean() + 0.01, 400, seed=3, n=50)
    assert (shifted - a).interval("pt").width == pytest.approx(0, abs=1e-9)


def test_the_mean_of_estimates_is_drawn_together():
    a, b = Estimate(1.0, np.array([0.0, 2.0])), Estimate(3.0, np.array([4.0, 2.0]))
    found = Estimate.mean([a, b])
    assert found.value == 2
    assert found.draws.tolist() == [2, 2]


def test_undefined_draws_are_left_out_and_refusals():
    found = Estimate(0.5, np.array([np.nan, 0.4, 0.6])).interval("%")
    assert 40 <= found.low < found.high <= 60
    nothing = Estimate(np.nan, np.full(3, np.nan)).interval()
    assert np.isnan(nothing.low)
    with pytest.raises(ShapeError):
        Estimate(0.0, np.zeros(2)) - Estimate(0.0, np.zeros(3))
    with pytest.raises(ShapeError):
        Estimate.mean([])
    with pytest.raises(ConfigError):
        Estimate(0.0, np.zeros(2)).interval(level=2)


def test_id_images_are_resampled_alike_for_every_ood_set():
    """The AUROC against a constant far above or amid the ID scores shows which ID images were drawn."""
    g = np.random.default_rng(1)
    inside, n = g.normal(size=300), 40
    sets = [DetectionScores(inside, np.zeros(size)) for size in (30, 500)]
    found = [
        detection_estimates((s,), ("auroc",), 0, n, stream=k)[0]["auroc"]
        for k, s in enumerate(sets)
    ]
    assert np.allclose(found[0].draws, found[1].draws)
    random = DetectionScores(inside, g.normal(size=300))
    one, two = (
        detection_estimates((random,), ("auroc",), 0, n, stream=k)[0]["auroc"] for k in (0, 1)
    )
    assert one.value == two.value
    assert not np.allclose(one.draws, two.draws)


@pytest.mark.parametrize("decimals", [8, 1])
def test_errors_found_is_the_auroc_of_wrong_answers(decimals):
    g = np.random.default_rng(2)
    scores = np.round(g.normal(size=400) - RIGHT, decimals)
    found = error_detection(scores, RIGHT, seed=4, n=30)
    assert found.value == pytest.approx(auroc(scores[RIGHT], scores[~RIGHT]))
    picks = np.random.default_rng(4).integers(0, 400, (30, 400))
    slow = [auroc(scores[p][RIGHT[p]], scores[p][~RIGHT[p]]) for p in picks]
    assert found.draws == pytest.approx(slow)


def test_errors_found_without_errors_is_not_a_number():
    found = error_detection(np.arange(5.0), np.ones(5, bool), n=3)
    assert np.isnan(found.value)
    assert np.isnan(found.draws).all()
