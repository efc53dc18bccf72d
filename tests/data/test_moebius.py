"""Möbius transformations: identity, inverse, directions, borders."""

import numpy as np
import pytest

from rmeeto.data import CORRUPTIONS, Moebius, corrupt, moebius, perspective
from rmeeto.data.moebius import DIRECTIONS
from rmeeto.errors import ConfigError, ShapeError, UnknownNameError


def picture(height=64, width=48):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 7), np.cos(x / 6), np.sin((x + y) / 9)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("fill", ["edge", "black"])
def test_strength_zero_is_the_image(direction, fill):
    for image in (picture(), picture(8, 8)[..., :1], picture(1, 5)):
        np.testing.assert_array_equal(perspective(image, direction, 0, fill), image)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_inverse_maps_back(direction):
    image, there = picture(), Moebius(c=0.2 * DIRECTIONS[direction])
    once = moebius(image, there)
    back = moebius(once, there.inverse())
    inner = (slice(16, 48), slice(12, 36))
    left, moved = (np.abs(x[inner] - image[inner].astype(float)).mean() for x in (back, once))
    assert left < 2
    assert moved > 3 * left


def test_inverse_on_points():
    f = Moebius(1 + 1j, 0.3, 0.2j, 2)
    z = np.array([0.3 - 0.2j, -1 + 1j, 0])
    np.testing.assert_allclose(f.inverse()(f(z)), z, atol=1e-12)
    np.testing.assert_allclose(Moebius(c=0.5)(np.array([1 + 0j])), 2 / 3)


@pytest.mark.parametrize(
    ("direction", "near", "far"),
    [
        ("left", (32, 8), (32, 56)),
        ("right", (32, 56), (32, 8)),
        ("top", (8, 32), (56, 32)),
        ("bottom", (56, 32), (8, 32)),
        ("left_top", (14, 14), (50, 50)),
        ("left_bottom", (50, 14), (14, 50)),
        ("right_top", (14, 50), (50, 14)),
        ("right_bottom", (50, 50), (14, 14)),
    ],
)
def test_the_named_side_is_enlarged(direction, near, far):
    areas = []
    for row, column in (near, far):
        spot = np.zeros((64, 64, 1), np.uint8)
        spot[row - 3 : row + 3, column - 3 : column + 3] = 255
        areas.append(perspective(spot, direction, 0.25, "black").astype(float).sum() / 255)
    assert areas[0] > 36 * 1.1
    assert areas[1] < 36 * 0.9


def test_fill():
    white = np.full((32, 32, 3), 255, np.uint8)
    assert (perspective(white, "left", 0.4, "edge") == 255).all()
    assert (perspective(white, "left", 0.4, "black") == 0).any()


def test_severities_are_strengths():
    image = picture()
    np.testing.assert_array_equal(
        corrupt(image, "perspective_top", 3), perspective(image, "top", 0.3)
    )
    assert {f"perspective_{d}" for d in DIRECTIONS} <= set(CORRUPTIONS.names())


def test_refusals():
    for strength in (-0.1, 0.7, float("nan")):
        with pytest.raises(ConfigError, match="strength"):
            perspective(picture(), "left", strength)
    with pytest.raises(UnknownNameError, match="left"):
        perspective(picture(), "lef", 0.1)
    with pytest.raises(UnknownNameError, match="black"):
        perspective(picture(), "left", 0.1, "blak")
    with pytest.raises(ConfigError, match="one-to-one"):
        Moebius(1, 1, 1, 1)
    with pytest.raises(ShapeError):
        moebius(picture()[..., 0], Moebius())
