"""Accuracy against scikit-learn, and where it must not be fooled: ties, NaN, k ≥ K."""

import numpy as np
import pytest

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import accuracies, accuracy, correct


@pytest.fixture
def case():
    g = np.random.default_rng(0)
    return g.normal(size=(300, 12)).astype(np.float32), g.integers(0, 12, 300)


@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_against_scikit_learn(case, k):
    sk = pytest.importorskip("sklearn.metrics")
    expected = sk.top_k_accuracy_score(case[1], case[0], k=k, labels=range(12))
    assert accuracy(*case, k=k) == pytest.approx(100 * expected)


@pytest.mark.parametrize("k", [1, 3, 12, 50])
def test_against_a_stable_sort(case, k):
    logits = np.round(case[0])  # many ties
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    assert (correct(logits, case[1], k) == (best == case[1][:, None]).any(1)).all()


def test_constant_logits_are_not_all_right():
    assert correct(np.zeros((3, 4)), np.array([0, 1, 2])).tolist() == [True, False, False]


def test_nan_is_wrong():
    logits = np.array([[np.nan, 1.0], [0.0, np.nan], [2.0, 1.0]])
    assert correct(logits, np.zeros(3, int)).tolist() == [False, False, True]
    assert correct(logits, np.zeros(3, int), k=2).tolist() == [False, False, True]


def test_accuracies_leave_out_what_is_always_right(case):
    assert set(accuracies(*case)) == {"top1", "top5"}
    assert set(accuracies(case[0][:, :3], case[1] % 3)) == {"top1"}
    top1 = accuracies(*case, seed=5)["top1"]
    assert top1.value == pytest.approx(accuracy(*case))
    assert top1.unit == "%"


def test_refuses_what_does_not_fit(case):
    with pytest.raises(ShapeError, match="same n"):
        correct(case[0], case[1][:5])
    with pytest.raises(ShapeError, match="fewer classes"):
        correct(case[0], case[1] + 5)
    with pytest.raises(ShapeError, match="labels from 0"):
        correct(case[0], case[1] - 1)
    with pytest.raises(ConfigError, match="top-1"):
        correct(*case, k=0)
