"""Merge pictures show the right patches as one, wherever the class token stands."""

import numpy as np
import pytest

from rmeeto.errors import DataError
from rmeeto.reporting.figures import (
    DROPPED,
    decode,
    draw_merged,
    merge_picture,
    patch_sources,
    png,
    token_sizes,
    upscale,
)

GRID, CELL = (4, 4), 20
PLACES = {"first": 0, "middle": 9, "last": 16, "none": None}


def image() -> np.ndarray:
    """Sixteen flat patches of 2 × 2 pixels, every one of another bright colour."""
    levels = 100 + 9 * np.arange(16, dtype=np.uint8).reshape(4, 4)
    return np.stack([levels, levels[::-1], levels.T], -1).repeat(2, 0).repeat(2, 1)


def patch_slots(place: int | None) -> np.ndarray:
    slots = np.arange(16 if place is None else 17)
    return slots if place is None else np.delete(slots, place)


def source_with(place: int | None, merged: list[int], dropped: list[int]) -> np.ndarray:
    """A source map over all start slots in which some patches share a slot and some have none."""
    slots = patch_slots(place)
    source = np.arange(slots.size + (place is not None))
    source[slots[merged]] = source[slots[merged[0]]]
    source[slots[dropped]] = DROPPED
    return source


def inside(picture: np.ndarray, patch: int) -> np.ndarray:
    """Pixels of a patch without the lines along its border."""
    row, column = divmod(patch, GRID[1])
    y, x = row * CELL, column * CELL
    return picture[y + 3 : y + CELL - 3, x + 3 : x + CELL - 3].reshape(-1, 3)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_each_patch_is_drawn_as_what_became_of_it(place):
    merged, dropped = [1, 2, 11], [8, 15]
    source = patch_sources(source_with(place, merged, dropped), patch_slots(place))
    picture = draw_merged(image(), source, GRID, width=CELL * 4)
    plain = upscale(image(), GRID, CELL)
    mean = np.mean([inside(plain, p).mean(0) for p in merged], 0)
    for patch in range(16):
        pixels = inside(picture, patch)
        if patch in merged:
            assert np.abs(pixels - mean).max() <= 1
        elif patch in dropped:
            assert pixels.max() < 90
            assert len(np.unique(pixels, axis=0)) == 2  # hatched
        else:
            assert np.array_equal(pixels, inside(plain, patch))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_slip_by_one_slot_would_be_seen(place):
    merged = [5, 6]
    right = draw_merged(
        image(), patch_sources(source_with(place, merged, []), patch_slots(place)), GRID, 80
    )
    shifted = draw_merged(
        image(),
        np.roll(patch_sources(source_with(place, merged, []), patch_slots(place)), 1),
        GRID,
        80,
    )
    assert not np.array_equal(right, shifted)


def test_lines_run_around_groups_only():
    source = np.arange(16)
    source[6] = source[5]
    picture = draw_merged(image(), source, GRID, width=80)
    plain = upscale(image(), GRID, CELL)
    changed = (picture != plain).any(-1)
    assert changed[CELL : 2 * CELL, CELL].all()  # left of patch 5
    assert changed[CELL : 2 * CELL, 3 * CELL].all()  # right of patch 6
    assert changed[CELL, CELL : 3 * CELL].all()  # above both
    assert changed[2 * CELL, CELL : 3 * CELL].all()  # below both
    inner = picture[CELL + 3 : 2 * CELL - 3, CELL + 3 : 3 * CELL - 3].reshape(-1, 3)
    assert len(np.unique(inner, axis=0)) == 1  # none between 5 and 6
    assert not changed[:CELL].any()  # nor anywhere else
    assert not changed[2 * CELL + 2 :].any()
    assert not changed[:, :CELL].any()


def test_nothing_merged_is_the_image():
    picture = draw_merged(image(), np.arange(16), GRID, width=80)
    assert np.array_equal(picture, upscale(image(), GRID, CELL))


def test_everything_dropped():
    assert draw_merged(image(), np.full(16, DROPPED), GRID).max() < 90
    assert token_sizes(np.full(16, DROPPED)).size == 0


def test_grey_images_of_two_and_three_axes():
    grey = image()[..., 0]
    flat = draw_merged(grey, np.zeros(16), GRID)
    assert np.array_equal(flat, draw_merged(grey[..., None], np.zeros(16), GRID))
    assert (flat[..., 0] == flat[..., 2]).all()


def test_oblong_grids_and_dark_images():
    picture = draw_merged(np.zeros((10, 40), np.uint8), np.zeros(8), (1, 8), width=96)
    assert picture.shape == (12, 96, 3)
    picture = draw_merged(np.zeros((8, 8), np.uint8), np.arange(16) // 2, GRID, width=80)
    assert picture.max() > 90  # lines on black are light


def test_sizes():
    assert token_sizes(np.array([0, 0, 0, 7, 7, -1, 3])).tolist() == [3, 2, 1]


def test_picture_packs_and_unpacks():
    picture = merge_picture("p", image(), GRID, {"end": np.arange(16).reshape(4, 4)}, "c")
    assert np.array_equal(decode(picture.image), image())
    assert picture.views[0].source == tuple(range(16))
    assert png(image())[:4] == b"\x89PNG"


def test_wrong_inputs_are_refused():
    with pytest.raises(DataError, match="normalisation"):
        draw_merged(image() / 255, np.arange(16), GRID)
    with pytest.raises(DataError, match="uint8"):
        draw_merged(np.zeros((8, 8, 4), np.uint8), np.arange(16), GRID)
    with pytest.raises(DataError, match="patch_slots"):
        patch_sources(np.arange(16), np.arange(1, 17))
    with pytest.raises(DataError, match="run record"):
        decode("bm8gcG5n")
