"""Sharpness, brightness and contrast of raw images."""

import numpy as np
import pytest

from rmeeto.data import LOW_LEVEL, ArraySource, low_level
from rmeeto.data.low_level import luma, sharpness
from rmeeto.errors import DataError


def test_by_hand():
    flat = np.full((5, 5), 51, np.uint8)
    board = (255 * (np.indices((6, 6)).sum(0) % 2)).astype(np.uint8)
    images = np.stack([np.pad(flat, (0, 1), mode="edge"), board])
    found = low_level(ArraySource(images, [0, 0], ["x"]))
    assert set(found) == set(LOW_LEVEL)
    assert found["brightness"] == pytest.approx([0.2, 0.5])
    assert found["contrast"] == pytest.approx([0, 0.5])
    assert found["sharpness"] == pytest.approx([0, 16])  # the Laplacian is ±4


def test_colour_is_weighed_and_small_images_have_no_sharpness():
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    assert luma(red) == pytest.approx(0.299)
    assert sharpness(np.ones((2, 9))) == 0


def test_corrupt_images_are_left_out():
    images = np.zeros((3, 4, 4), np.uint8)
    images[2] = 255
    broken = {1: DataError("an image", "#1", "broken on purpose")}
    found = low_level(ArraySource(images, [0, 0, 0], ["x"], broken=broken))
    assert found["brightness"].tolist() == [0, 1]
