"""The size line against the gains computed from published results."""

import numpy as np
import pytest

from rmeeto.errors import ConfigError
from rmeeto.evaluation import Interval, paired_difference
from rmeeto.profiling.size_line import (
    DEIT_IMAGENET,
    VIM_IMAGENET,
    gain_over_size_line,
    paired_gain,
)


@pytest.mark.parametrize(
    ("family", "flops", "accuracy", "gain"),
    [
        pytest.param(VIM_IMAGENET, 3.58, 79.9, 1.22, id="R-MeeTo Vim-S"),
        pytest.param(VIM_IMAGENET, 13.21, 81.3, -0.03, id="R-MeeTo Vim-B"),
        pytest.param(VIM_IMAGENET, 5.08 * 0.648, 78.8, 0.47, id="DyVM Vim-S"),
        pytest.param(VIM_IMAGENET, 18.87 * 0.6, 80.3, -0.83, id="MTR Vim-B"),
        pytest.param(DEIT_IMAGENET, 4.61 * 0.628, 79.85, 3.94, id="DTEM DeiT-S"),
        pytest.param(DEIT_IMAGENET, 2.9, 79.54, 3.62, id="DiffRate DeiT-S"),
        pytest.param(DEIT_IMAGENET, 3.0, 79.5, 3.35, id="EViT DeiT-S"),
        pytest.param(DEIT_IMAGENET, 11.5, 81.5, 0.64, id="DiffRate DeiT-B"),
        pytest.param(DEIT_IMAGENET, 11.4, 81.43, 0.58, id="DynamicViT DeiT-B"),
    ],
)
def test_published_gains(family, flops, accuracy, gain):
    assert gain_over_size_line(family, (flops, accuracy)).gain == pytest.approx(gain, abs=0.0101)


def test_family_members_lie_on_their_own_line_in_any_order():
    for point in VIM_IMAGENET:
        result = gain_over_size_line(VIM_IMAGENET[::-1], point)
        assert result.gain == pytest.approx(0, abs=1e-9)
        assert result.interval is None


@pytest.mark.parametrize(("flops", "word"), [(1.28, "below"), (19.0, "above")])
def test_outside_the_range_says_why(flops, word):
    result = gain_over_size_line(VIM_IMAGENET, (flops, 75.3))
    assert (result.gain, result.line, result.interval) == (None, None, None)
    assert word in result.reason
    assert word in str(result)


def test_intervals_propagate_in_quadrature():
    family = [(1.0, Interval(70, 67, 74)), (3.0, Interval(80, 76, 82))]
    result = gain_over_size_line(family, (2.0, Interval(78, 77, 80)))
    assert result.gain == pytest.approx(3.0)
    # low end: point's 1 down, the sizes' 4 and 2 up at half weight; high end: 2 up, 3 and 4 down
    assert result.interval.low == pytest.approx(3 - np.sqrt(1 + 2**2 + 1**2))
    assert result.interval.high == pytest.approx(3 + np.sqrt(2**2 + 1.5**2 + 2**2))


def test_paired_gain_is_the_difference_on_a_size_and_narrower_than_quadrature():
    g = np.random.default_rng(0)
    easy = g.random(1000)
    small, large, point = (easy < p for p in (0.6, 0.8, 0.75))
    on_large = paired_gain([(1.0, small), (3.0, large)], (3.0, point), seed=2)
    assert on_large.interval == paired_difference(point, large, seed=2)
    between = paired_gain([(1.0, small), (3.0, large)], (2.0, point), seed=2)
    expected = 100 * (point.mean() - (small.mean() + large.mean()) / 2)
    assert between.gain == pytest.approx(expected)
    assert between.interval.width < 4
    assert paired_gain([(1.0, small), (3.0, large)], (0.5, point)).gain is None


def test_needs_two_different_sizes():
    for family in ([(1.0, 70.0)], [(1.0, 70.0), (1.0, 71.0)]):
        with pytest.raises(ConfigError, match="two or more"):
            gain_over_size_line(family, (1.0, 70.0))
