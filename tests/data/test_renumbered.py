"""A set whose classes are counted as another's."""

import numpy as np
import pytest

from rmeeto.data import ArraySource, ImageSource, Renumbered
from rmeeto.errors import DataError

SOURCE = ArraySource(np.arange(4 * 4, dtype=np.uint8).reshape(4, 2, 2), [0, 2, 2, 0], ["b", "none", "a"], "v2")


def test_labels_are_matched_by_name():
    found = Renumbered(SOURCE, ["a", "b", "c"])
    assert isinstance(found, ImageSource)
    assert found.labels.tolist() == [1, 0, 0, 1]  # the class without images needs no match
    assert found.classes == ["a", "b", "c"]
    assert len(found) == 4
    assert (found.image(2) == SOURCE.image(2)).all()
    assert found.item_name(2) == SOURCE.item_name(2)
    other = Renumbered(SOURCE, ["b", "a", "c"])
    assert len({found.fingerprint(), other.fingerprint(), SOURCE.fingerprint()}) == 3


def test_an_unknown_class_is_refused():
    with pytest.raises(DataError, match="such as b"):
        Renumbered(SOURCE, ["a", "B"])
