"""ReaL accuracy by hand."""

import numpy as np
import pytest

from rmeeto.errors import ShapeError
from rmeeto.evaluation import real_accuracy, real_correct, real_difference

LOGITS = np.array([[3, 1, 0], [0, 2, 1], [1, 1, 0], [0, 0, 9], [np.nan, 1, 0]])
SETS = [[0, 2], [2], {0}, [], (1,)]


def test_by_hand():
    right, kept = real_correct(LOGITS, SETS)
    assert kept.tolist() == [0, 1, 2, 4]
    assert right.tolist() == [True, False, True, False]  # a tie goes to the lower class
    assert real_accuracy(LOGITS, SETS).value == 50


def test_difference_is_b_minus_a():
    better = np.eye(3)[[2, 2, 0, 0, 1]]
    found = real_difference(LOGITS, better, SETS)
    assert found.value == 50
    same = real_difference(LOGITS, LOGITS, SETS)
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize(
    "sets", [SETS[:4], [[], [], [], [], []], [[3], [], [], [], []], [[-1]] * 5]
)
def test_refusals(sets):
    with pytest.raises(ShapeError):
        real_correct(LOGITS, sets)
