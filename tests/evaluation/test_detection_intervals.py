"""Bootstrap of detection metrics: pairing, coverage, agreement with a plain loop, speed of shape."""

import numpy as np
import pytest

from rmeeto.errors import ConfigError, ShapeError, UnknownNameError
from rmeeto.evaluation import (
    DetectionScores,
    auroc,
    detection_differences,
    detection_intervals,
    fpr95_ood_positive,
    oscr,
)
from rmeeto.evaluation.ranking import METRICS

ALL = tuple(METRICS)


def scores(seed, n=300, m=200, gap=1.2, decimals=8):
    g = np.random.default_rng(seed)
    inside, outside = g.normal(0, 1, n), g.normal(gap, 1.5, m)
    return DetectionScores(
        np.round(inside, decimals), np.round(outside, decimals), g.random(n) < 0.8
    )


def noisy(model, seed, size=0.1):
    g = np.random.default_rng(seed)
    return DetectionScores(
        model.id + size * g.normal(size=len(model.id)),
        model.ood + size * g.normal(size=len(model.ood)),
        model.correct,
    )


def test_values_are_the_metrics_in_percent():
    model = scores(0)
    found = detection_intervals(model, ALL, n=50)
    assert set(found) == set(ALL)
    assert found["auroc"].value == pytest.approx(100 * auroc(model.id, model.ood))
    expected = 100 * fpr95_ood_positive(model.id, model.ood)
    assert found["fpr95_ood_positive"].value == pytest.approx(expected)
    expected = 100 * oscr(model.id, model.correct, model.ood)
    assert found["oscr"].value == pytest.approx(expected)
    for interval in found.values():
        assert interval.low <= interval.value <= interval.high
        assert interval.unit == "%"
        assert interval.level == 0.95


@pytest.mark.parametrize("decimals", [8, 1])
def test_draws_are_those_of_a_plain_loop(decimals):
    """The same picks, resampled the slow way, give the same ends."""
    model = scores(1, n=60, m=40, decimals=decimals)
    found = detection_intervals(model, ("auroc", "fpr95_ood_positive"), seed=5, n=64)
    id_picks = np.random.default_rng(5).integers(0, 60, (64, 60))
    ood_picks = np.random.default_rng([1, 5, 0]).integers(0, 40, (64, 40))
    for name, metric in (("auroc", auroc), ("fpr95_ood_positive", fpr95_ood_positive)):
        draws = [
            metric(model.id[i], model.ood[o]) for i, o in zip(id_picks, ood_picks, strict=True)
        ]
        ends = 100 * np.quantile(draws, [0.025, 0.975])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(ends))


def test_identical_models_differ_by_nothing():
    model = scores(2)
    for interval in detection_differences(model, model, ALL, n=100).values():
        assert (interval.value, interval.low, interval.high) == (0, 0, 0)
        assert interval.unit == "pt"


def test_equally_good_models_cover_zero():
    """Two noisy copies of one model: the interval of the difference holds 0 about 95 times in 100."""
    hits = 0
    for seed in range(100):
        model = scores(seed + 10)
        a, b = noisy(model, 2 * seed, 0.5), noisy(model, 2 * seed + 1, 0.5)
        found = detection_differences(a, b, ("auroc",), seed=seed, n=300)["auroc"]
        hits += not found.excludes(0)
    assert hits >= 88


def test_pairs_are_narrower_than_two_separate_intervals():
    model = scores(3)
    other = noisy(model, 4)
    paired = detection_differences(model, other, ("auroc",))["auroc"].width
    apart = detection_intervals(model, ("auroc",))["auroc"].width
    assert paired < apart / 2


def test_the_sign_is_a_minus_b():
    worse, better = scores(5, gap=0.5), scores(5, gap=2.5)
    found = detection_differences(better, worse, ("auroc", "fpr95_id_positive"))
    assert found["auroc"].low > 0
    assert found["fpr95_id_positive"].high < 0


def test_coverage_of_the_auroc():
    from statistics import NormalDist

    truth = 100 * NormalDist().cdf(1.2 / np.hypot(1, 1.5))
    intervals = (
        detection_intervals(scores(s + 100), ("auroc",), seed=s, n=200)["auroc"] for s in range(100)
    )
    assert sum(not i.excludes(truth) for i in intervals) >= 88


def test_seeds_and_chunks():
    model = scores(6)
    assert detection_intervals(model, seed=3, n=90) == detection_intervals(model, seed=3, n=90)
    a, b = (detection_intervals(model, seed=s, n=90)["auroc"] for s in (3, 4))
    assert (a.low, a.high) != (b.low, b.high)
    big = scores(7, 3000, 3000)  # several chunks
    assert detection_intervals(big, ("auroc",), n=150)["auroc"].width < 5


def test_refusals():
    model = scores(8)
    with pytest.raises(UnknownNameError, match="auroc"):
        detection_intervals(model, ("aurok",))
    with pytest.raises(ShapeError, match=r"set DetectionScores\.correct"):
        detection_intervals(DetectionScores(model.id, model.ood), ("oscr",))
    with pytest.raises(ConfigError, match="1000"):
        detection_intervals(model, n=0)
    with pytest.raises(ConfigError, match=r"0\.95"):
        detection_intervals(model, level=95)
    with pytest.raises(ShapeError, match="both results share"):
        detection_differences(model, DetectionScores(model.id[1:], model.ood))
    with pytest.raises(ShapeError, match="1 NaN"):
        detection_intervals(DetectionScores(model.id, np.array([np.nan])))
