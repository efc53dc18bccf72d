"""The bound on lost accuracy holds as often as it says, and the ratio chosen with it."""

import math

import numpy as np
import pytest

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import accuracy_gap_bound, choose_ratio
from rmeeto.evaluation.guarantee import binomial_cdf, binomial_upper

BOUNDS = ("clopper_pearson", "hoeffding_bentkus")


def sample(g, n, lost, won, right=0.7):
    """Right answers of two models: P(lost) and P(won) are the chances of disagreeing."""
    u = g.random(n)
    full = (u < lost) | ((u >= lost + won) & (u < lost + won + right))
    reduced = ((u >= lost) & (u < lost + won)) | ((u >= lost + won) & (u < lost + won + right))
    return full, reduced


@pytest.mark.parametrize(("k", "n", "p"), [(0, 5, 0.3), (3, 10, 0.5), (40, 300, 0.15), (7, 7, 0.9)])
def test_binomial_in_plain_loops(k, n, p):
    expected = math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
    assert binomial_cdf(k, n, p) == pytest.approx(expected, rel=1e-10)


def test_upper_limit_solves_its_equation():
    assert binomial_upper(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert binomial_upper(9, 9, 0.05) == 1
    for k, n in ((3, 50), (700, 2000), (4999, 5000)):
        assert binomial_cdf(k, n, binomial_upper(k, n, 0.1)) == pytest.approx(0.1, rel=1e-6)


def test_upper_limit_against_scipy():
    beta = pytest.importorskip("scipy.stats", reason="SciPy is the oracle here").beta
    for k, n in ((0, 7), (3, 50), (700, 2000), (30_000, 50_000)):
        expected = beta.ppf(0.95, k + 1, n - k)
        assert binomial_upper(k, n, 0.05) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(("lost", "won"), [(0.03, 0.01), (0.2, 0.15), (0.0, 0.0), (0.02, 0.04)])
def test_the_bound_holds(bound, lost, won):
    g, misses = np.random.default_rng(0), 0
    for _ in range(200):
        full, reduced = sample(g, 400, lost, won)
        value = accuracy_gap_bound(full, reduced, 0.1, bound)
        misses += value < lost - won
        assert value >= full.mean() - reduced.mean()
    assert misses / 200 <= 0.1 + 0.03


def test_exact_bound_is_tighter_where_models_agree():
    full, reduced = sample(np.random.default_rng(1), 2000, 0.01, 0.005)
    exact, general = (accuracy_gap_bound(full, reduced, 0.05, b) for b in BOUNDS)
    assert exact < general / 2


def test_hoeffding_bentkus_solves_its_equation():
    full, reduced = sample(np.random.default_rng(2), 500, 0.1, 0.05)
    alpha = (1 + accuracy_gap_bound(full, reduced, 0.05, "hoeffding_bentkus")) / 2
    mean = (1 + full.mean() - reduced.mean()) / 2
    h = mean * math.log(mean / alpha) + (1 - mean) * math.log((1 - mean) / (1 - alpha))
    tail = math.e * binomial_cdf(math.ceil(500 * mean - 1e-9), 500, alpha)
    assert min(math.exp(-500 * h), tail) == pytest.approx(0.05, rel=1e-6)


def test_exact_bound_by_hand():
    """Nothing lost and nothing won: the upper limit of P(lost) at δ/2 minus 0."""
    right = np.arange(100) < 70
    assert accuracy_gap_bound(right, right, 0.1) == pytest.approx(1 - 0.05 ** (1 / 100))
    limit = binomial_upper(0, 100, 0.05)  # all won: P(lost) below it, P(won) above 1 minus it
    none, every = np.zeros(100, bool), np.ones(100, bool)
    assert accuracy_gap_bound(none, every, 0.1) == pytest.approx(limit - (1 - limit))


def test_more_images_tighten():
    g = np.random.default_rng(3)
    values = [accuracy_gap_bound(*sample(g, n, 0.02, 0.01)) for n in (200, 2000, 20_000)]
    assert values[0] > values[1] > values[2] > 0.01


def test_choose_the_cheapest_before_the_first_failure():
    full = np.ones(3000, bool)
    none, some = full, np.arange(3000) >= 300  # the second loses ten points
    choice = choose_ratio(full, {0.9: none, 0.7: none, 0.5: some, 0.3: none}, 0.01, 0.05)
    assert choice.ratio == 0.7
    assert [t.ratio for t in choice.tested] == [0.9, 0.7, 0.5]  # 0.3 is not even looked at
    assert [t.passed for t in choice.tested] == [True, True, False]
    assert choice.tested[-1].gap == pytest.approx(0.1)


def test_choose_nothing_when_too_few_images():
    full = np.ones(50, bool)
    choice = choose_ratio(full, {0.9: full}, 0.01)
    assert choice.ratio is None
    assert choice.tested[0].bound > 0.01


def test_choice_is_wrong_at_most_as_often_as_allowed():
    """Six ratios that lose ever more; the choice loses over ε in at most δ of 200 draws."""
    g, wrong, epsilon = np.random.default_rng(4), 0, 0.03
    losses = {0.9: 0.0, 0.8: 0.01, 0.7: 0.02, 0.6: 0.031, 0.5: 0.035, 0.4: 0.1}
    for _ in range(200):
        u = g.random(600)
        results = {ratio: u >= loss for ratio, loss in losses.items()}
        choice = choose_ratio(np.ones(600, bool), results, epsilon, 0.1)
        wrong += choice.ratio is not None and losses[choice.ratio] > epsilon
    assert wrong / 200 <= 0.1 + 0.03


def test_refusals():
    with pytest.raises(ShapeError, match="same n"):
        accuracy_gap_bound([True], [True, False])
    with pytest.raises(ConfigError, match="tighter"):
        accuracy_gap_bound([True], [True], bound="wald")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="delta"):
        accuracy_gap_bound([True], [True], 0.0)
    with pytest.raises(ConfigError, match="one result for each ratio"):
        choose_ratio([True], {})
    with pytest.raises(ConfigError, match="epsilon"):
        choose_ratio([True], {0.5: [True]}, 1.5)
