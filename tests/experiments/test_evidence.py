"""Intervals that cover images and seeds."""

import numpy as np
import pytest
from experiments.cells import Cell
from experiments.evidence import Evidence, MissingCellsError, difference, mean, measure
from experiments.store import Result

from rmeeto.evaluation import mean_and_interval, paired_difference

RNG = np.random.default_rng(1)
A, B = (RNG.random((3, 2000)) < 0.8).astype(float), (RNG.random((3, 2000)) < 0.7).astype(float)


def test_one_seed_is_the_paired_bootstrap():
    ours, theirs = difference([A[0]], [B[0]]), paired_difference(A[0], B[0])
    assert ours.value == pytest.approx(theirs.value)
    assert ours.low == pytest.approx(theirs.low, abs=0.25)
    assert ours.high == pytest.approx(theirs.high, abs=0.25)


def test_seeds_widen_the_interval_to_students_t():
    shifted = A.copy()
    shifted[2] = 1.0  # one seed far off
    found = difference([*shifted], [B[0]])
    spread = mean_and_interval([100 * (a.mean() - B[0].mean()) for a in shifted], unit="pt")
    assert (found.low, found.high) == pytest.approx((spread.low, spread.high))
    assert found.value == pytest.approx(spread.value)


def test_the_interval_is_never_narrower_than_the_images_alone():
    same = [A[0], A[0].copy(), A[0].copy()]  # seeds that agree say nothing about the images
    alone = difference([A[0]], [B[0]])
    found = difference(same, [B[0]])
    assert found.low <= alone.low + 0.2
    assert found.high >= alone.high - 0.2


def test_what_rows_share_cancels():
    assert difference([A[0]], [A[0]]).width == 0


def test_any_function_of_accuracies():
    found = measure(lambda a, b: 100 * (1 - b / a), [A[0]], [B[0]], unit="%")
    assert found.value == pytest.approx(100 * (1 - B[0].mean() / A[0].mean()))
    assert found.low < found.value < found.high


def test_coverage_of_the_truth():
    hits = 0
    for k in range(100):
        rng = np.random.default_rng(100 + k)
        rows = [(rng.random(500) < p).astype(float) for p in (0.8, 0.7)]
        found = difference([rows[0]], [rows[1]])
        hits += found.low <= 10 <= found.high
    assert 88 <= hits <= 99


def test_mean_is_over_images_and_seeds():
    assert mean([np.array([1.0, 0.0]), np.array([1.0, 1.0])]) == 75


def test_missing_cells_are_named():
    with pytest.raises(MissingCellsError, match="fashion/vim_w64/tune/x/seed0"):
        Evidence({}).tuned("fashion/vim_w64", "x")


def test_cells_of_different_test_images_are_refused():
    cells = [Cell("fashion/vim_w64", "free", label) for label in "ab"]
    results = {
        c.id: Result(cell=c, fingerprint="", reference="", data={"test": c.label}) for c in cells
    }
    with pytest.raises(ValueError, match="different test images"):
        Evidence(results)
