"""Accuracy by class, and flips."""

import numpy as np
import pytest

from rmeeto.errors import ShapeError
from rmeeto.evaluation import Flips, flips, per_class_accuracy, worst_class_accuracy


def test_per_class_by_hand():
    logits = np.eye(4)[[0, 0, 1, 1, 1, 3]]
    labels = np.array([0, 0, 1, 0, 3, 3])
    found = per_class_accuracy(logits, labels)
    np.testing.assert_allclose(found, [200 / 3, 100, np.nan, 50])
    assert worst_class_accuracy(logits, labels) == (50.0, 3)


def test_per_class_in_plain_loops():
    g = np.random.default_rng(0)
    logits, labels = g.normal(size=(300, 6)), g.integers(0, 6, 300)
    for k, value in enumerate(per_class_accuracy(logits, labels)):
        own = [row.argmax() == k for row, y in zip(logits, labels, strict=True) if y == k]
        assert value == pytest.approx(100 * np.mean(own))


def test_flips_by_hand():
    found = flips([0, 1, 2, 2, 3], [0, 2, 1, 0, 3], [0, 1, 1, 1, 1])
    assert found == Flips(correct_to_wrong=1, wrong_to_correct=1, wrong_to_other=1, images=5)
    assert found.rate == pytest.approx(3 / 5)
    assert found.accuracy_change == 0


def test_flips_add_up():
    g = np.random.default_rng(1)
    a, b, y = (g.integers(0, 4, 500) for _ in range(3))
    found = flips(a, b, y)
    assert found.rate == pytest.approx((a != b).mean())
    assert found.accuracy_change == pytest.approx(100 * ((b == y).mean() - (a == y).mean()))
    assert flips(a, a, y).rate == 0


def test_refusals():
    with pytest.raises(ShapeError, match="same images"):
        flips([0, 1], [0], [0, 1])
    with pytest.raises(ShapeError, match="argmax"):
        flips([0.0, 1.0], [0, 1], [0, 1])
    with pytest.raises(ShapeError, match="whole labels"):
        per_class_accuracy(np.zeros((2, 2)), np.array([0, 2]))
