"""Intervals: coverage, pairing, exact quantiles, seeds, degenerate inputs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.config import from_dict, to_dict
from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import (
    Interval,
    bootstrap,
    bootstrap_median,
    mean_and_interval,
    paired_difference,
    wilson,
)
from rmeeto.evaluation.intervals import t_quantile


def coverage(interval_of, truth: float, draw, trials: int = 400) -> float:
    draws = (draw(np.random.default_rng(seed)) for seed in range(trials))
    hits = [not interval_of(x, seed).excludes(truth) for seed, x in enumerate(draws)]
    return float(np.mean(hits))


def test_prints_value_unit_and_ends():
    assert str(Interval(91.2, 90.4, 91.9, "%")) == "91.2 % [90.4, 91.9]"
    assert str(Interval(1.216, -0.3, 2.71, "pt")) == "+1.22 pt [-0.30, +2.71]"
    assert str(Interval(1.5, 1.25, 1.75)) == "1.50 [1.25, 1.75]"


def test_round_trips_through_config():
    interval = Interval(1.0, 0.5, 2.0, "pt", 0.9)
    assert from_dict(Interval, to_dict(interval)) == interval


def test_bootstrap_is_in_percent_and_reproducible():
    right = np.arange(1000) < 912
    first = bootstrap(right, seed=3)
    assert first == bootstrap(right, seed=3)
    assert len({bootstrap(right, seed=s).low for s in range(9)}) > 1
    assert first.value == pytest.approx(91.2)
    assert first.low < 91.2 < first.high


def test_bootstrap_ignores_the_global_generator():
    before = np.random.get_state()[1].copy()
    bootstrap(np.arange(100) < 50, seed=0)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_bootstrap_covers_the_truth(p):
    share = coverage(lambda x, s: bootstrap(x, s), 100 * p, lambda g: g.random(500) < p)
    assert 0.92 <= share <= 0.98


def test_counting_equals_resampling_images():
    """The multinomial short cut has the spread of a bootstrap that really draws images."""
    values = np.random.default_rng(0).random(400) < 0.8
    noisy = values + 1e-9 * np.arange(400)  # all distinct: takes the slow path
    fast, slow = bootstrap(values, 0, n=8000), bootstrap(noisy, 0, n=8000)
    assert fast.low == pytest.approx(slow.low, abs=0.3)
    assert fast.high == pytest.approx(slow.high, abs=0.3)


def test_level_widens():
    right = np.arange(500) < 400
    assert bootstrap(right, 0, level=0.99).width > bootstrap(right, 0, level=0.8).width


def test_paired_difference_uses_the_pairs():
    g = np.random.default_rng(0)
    a = g.random(2000) < 0.8
    b = a ^ (g.random(2000) < 0.02)  # the same mistakes but for one image in fifty
    paired = paired_difference(a, b, seed=0)
    apart = math.hypot(bootstrap(a, 0).width, bootstrap(b, 0).width)
    assert paired.width < apart / 2
    assert paired.value == pytest.approx(100 * (a.mean() - b.mean()))


def test_paired_difference_covers_the_truth():
    def draw(g):
        a = g.random(400) < 0.8
        return a, a & ~(g.random(400) < 0.1)

    share = coverage(lambda ab, s: paired_difference(*ab, seed=s), 8.0, draw)
    assert 0.92 <= share <= 0.98


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_difference_properties(pairs):
    a, b = np.array(pairs).T
    there, back = paired_difference(a, b, seed=1, n=200), paired_difference(b, a, seed=1, n=200)
    assert there.value == pytest.approx(-back.value)
    assert there.low <= there.value + 1e-9
    assert there.value <= there.high + 1e-9
    assert paired_difference(a, a, seed=1, n=200).width == 0


def test_wilson_against_worked_values():
    zero = wilson(np.zeros(50, bool))
    assert (zero.value, zero.low) == (0, 0)
    assert zero.high == pytest.approx(7.135, abs=1e-3)
    half = wilson(np.arange(100) < 50)
    assert (half.low, half.high) == pytest.approx((40.383, 59.617), abs=1e-3)


@pytest.mark.parametrize(
    ("df", "level", "t"),
    [
        (1, 0.95, 12.7062),
        (2, 0.95, 4.30265),
        (4, 0.95, 2.77645),
        (9, 0.99, 3.24984),
        (30, 0.95, 2.04227),
        (7, 0.5, 0.71114),
    ],
)
def test_t_quantile_against_the_printed_table(df, level, t):
    assert t_quantile(level, df) == pytest.approx(t, rel=1e-5)


def test_t_quantile_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    for df in (1, 2, 3, 5, 8, 40, 101):
        assert t_quantile(0.9, df) == pytest.approx(stats.t.ppf(0.95, df), rel=1e-9)


def test_mean_over_seeds():
    interval = mean_and_interval([80.0, 81.0, 82.0])
    half = 4.30265 * 1.0 / math.sqrt(3)
    assert (interval.value, interval.low) == pytest.approx((81.0, 81.0 - half), rel=1e-5)
    assert interval.unit == "%"


def test_mean_over_seeds_covers_the_truth():
    share = coverage(lambda x, _: mean_and_interval(x), 0.0, lambda g: g.normal(size=4), 1000)
    assert 0.93 <= share <= 0.97


def test_median_interval():
    times = np.random.default_rng(0).exponential(size=101)
    interval = bootstrap_median(times, seed=0, unit="s")
    assert interval.value == np.median(times)
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize("values", [[], [[True]], [0.5, float("nan")]])
def test_refuses_what_is_no_vector(values):
    with pytest.raises(ShapeError, match="one finite number per image"):
        bootstrap(values)


def test_refuses_pairs_of_unequal_length_one_seed_and_bad_levels():
    with pytest.raises(ShapeError, match="equal lengths"):
        paired_difference([True, False], [True])
    with pytest.raises(ShapeError, match="two or more"):
        mean_and_interval([80.0])
    with pytest.raises(ConfigError, match="level"):
        bootstrap([True, False], level=95)
