"""Edits of backgrounds: the thing stays, the rest becomes what the edit says, by seed and place."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from rmeeto.data import (
    BACKGROUNDS,
    ArraySource,
    BackgroundEdited,
    ImageSource,
    Subset,
    corrupt,
    masks_of,
)
from rmeeto.errors import ConfigError, DataError, UnknownNameError

DOCS = Path(__file__).parents[2] / "docs/corruptions.md"


def square(count, side=16, low=4, high=10):
    """Masks with one white square each."""
    masks = np.zeros((count, side, side, 1), np.uint8)
    masks[:, low:high, low:high] = 255
    return ArraySource(masks, np.zeros(count, int), name="masks")


def pictures(count=6, side=16, channels=3, seed=0):
    """Random images of three classes."""
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)
    return ArraySource(images, np.arange(count) % 3, name="made")


class Sized:
    """Images of several sizes, some of which can't be read."""

    def __init__(self, images, labels, broken=()):
        self.images, self.broken, self.name = images, broken, "sized"
        self.labels, self.classes = np.asarray(labels), ["a", "b"]

    def __len__(self):
        return len(self.images)

    def image(self, index):
        if index in self.broken:
            raise DataError("an image", str(index), "damaged")
        return self.images[index]

    def item_name(self, index):
        return f"sized[{index}]"

    def fingerprint(self):
        return "sized"


def row(*values):
    """An image of one row, one channel."""
    return np.array(values, np.uint8)[None, :, None]


def edited(images, masks, name, severity=5, seed=0, labels=None):
    sources = [ArraySource(np.stack(x), labels or [0] * len(x)) for x in (images, masks)]
    return BackgroundEdited(*sources, name, severity, seed)


@pytest.mark.parametrize("name", BACKGROUNDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_foreground_stays_and_the_background_does_not(name, channels):
    source, masks = pictures(channels=channels), square(6)
    inside = masks.images[0, ..., 0] == 255
    before = source.images.copy()
    for severity in (1, 5):
        made = BackgroundEdited(source, masks, name, severity)
        for index in range(6):
            image = made.image(index)
            assert (image.dtype, image.shape) == (np.uint8, (16, 16, channels))
            np.testing.assert_array_equal(image[inside], source.images[index][inside])
            assert (image[~inside] != source.images[index][~inside]).mean() > 0.5
    np.testing.assert_array_equal(source.images, before)


def test_grey_by_hand():
    image, mask = row(10, 20, 60, 200), row(0, 127, 0, 128)  # mean of the background: 30
    for severity, wanted in {1: (14, 22, 54), 2: (18, 24, 48), 5: (30, 30, 30)}.items():
        made = edited([image], [mask], "background_grey", severity)
        np.testing.assert_array_equal(made.image(0), row(*wanted, 200))


def test_grey_is_the_mean_of_each_channel_and_masks_have_one_or_three():
    image = np.array([[[0, 100, 7], [10, 50, 8], [255, 255, 255]]], np.uint8)
    mask = np.array([[[0, 0, 0], [255, 60, 60], [130, 255, 0]]], np.uint8)  # means 0, 125, 128.3
    made = edited([image], [mask], "background_grey")
    np.testing.assert_array_equal(made.image(0)[0], [[5, 75, 8], [5, 75, 8], [255, 255, 255]])


def test_noise_is_uniform_and_mixed_in_by_severity():
    flat = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[:4] = 255
    five = edited([flat], [mask], "background_noise", 5).image(0)[4:].astype(int)
    assert np.bincount(five.ravel(), minlength=256).min() > 10  # 45 of each byte on average
    assert np.corrcoef(five[..., 0].ravel(), five[..., 1].ravel())[0, 1] == pytest.approx(0, abs=0.06)
    for severity in (1, 2, 3, 4):  # the same noise, weaker
        made = edited([flat], [mask], "background_noise", severity).image(0)[4:]
        wanted = 100 + severity / 5 * (five - 100)
        np.testing.assert_allclose(made, wanted, atol=0.51)


def test_blur_is_strong_keeps_the_mean_and_sees_nothing_of_the_thing():
    rng = np.random.default_rng(0)
    image = rng.integers(80, 121, (64, 64, 1), np.uint8)
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[20:44, 20:44] = 255
    outside = mask[..., 0] == 0
    results = []
    for thing in (0, 255):
        filled = np.where(mask == 255, np.uint8(thing), image)
        results.append(edited([filled], [mask], "background_blur").image(0)[outside])
    np.testing.assert_array_equal(*results)
    assert results[0].mean() == pytest.approx(image[outside].mean(), abs=1)
    assert results[0].std() < 0.1 * image[outside].std()
    weaker = corrupt(image, "gaussian_blur", 5)[outside]
    assert results[0].std() < 0.5 * weaker.std()


@pytest.mark.parametrize(("side", "sigma"), [(16, 4), (32, 4), (96, 12)])
def test_the_blur_grows_with_the_side(side, sigma):
    image = np.zeros((side, side, 1), np.uint8)
    image[:, side // 2 :] = 255
    mask = np.zeros_like(image)
    mask[0, 0] = 255
    steps = np.diff(edited([image], [mask], "background_blur").image(0)[side // 2, :, 0].astype(float))
    assert steps.max() == pytest.approx(255 / (sigma * (2 * np.pi) ** 0.5), rel=0.12)


def test_swap_takes_another_class_and_shares_its_draw_over_severities():
    images = [np.full((4, 4, 1), 10 * k, np.uint8) for k in range(8)]
    mask = np.zeros((4, 4, 1), np.uint8)
    mask[0, 0] = 255
    labels = [0, 0, 0, 0, 0, 1, 1, 2]
    seen = set()
    for seed in range(20):
        five = edited(images, [mask] * 8, "background_swap", 5, seed, labels)
        one = edited(images, [mask] * 8, "background_swap", 1, seed, labels)
        for index in range(8):
            value = five.image(index)[1, 1, 0]
            assert labels[value // 10] != labels[index]
            assert (five.image(index)[..., 0] == value).sum() == 15
            assert one.image(index)[1, 1, 0] == round(10 * index + (int(value) - 10 * index) / 5)
            seen.add((index, int(value) // 10))
    assert {other for index, other in seen if index == 0} == {5, 6, 7}
    alike = [edited(images, [mask] * 8, "background_swap", 5, s).image(3)[1, 1, 0] for s in range(40)]
    assert set(alike) == {0, 10, 20, 40, 50, 60, 70}  # one class: any other image


def test_swap_fits_sizes_and_channels_and_passes_over_what_cannot_be_read():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = (50, 100, 150)  # the centre
    images = [np.full((4, 4, 3), 9, np.uint8), wide, np.full((5, 5, 1), 77, np.uint8)]
    masks = Sized([np.zeros((*x.shape[:2], 1), np.uint8) for x in images], [0, 0, 0])
    swapped = BackgroundEdited(Sized(images, [0, 1, 0]), masks, "background_swap", 5)
    np.testing.assert_allclose(swapped.image(0), np.broadcast_to((50, 100, 150), (4, 4, 3)), atol=15)
    assert swapped.image(2).shape == (5, 5, 1)
    broken = BackgroundEdited(Sized(images, [0, 1, 1], {1}), masks, "background_swap", 5)
    for seed in range(5):
        broken.seed = seed
        assert (broken.image(0) == 77).all()
    with pytest.raises(DataError, match="no other image"):
        BackgroundEdited(Sized(images, [0, 1, 1], {1, 2}), masks, "background_swap", 5).image(0)
    with pytest.raises(DataError, match="damaged"):
        broken.image(1)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_seed_and_place_decide(name):
    alike = ArraySource(np.repeat(pictures().images[:1], 4, 0), [0, 0, 1, 1])
    source, masks = pictures(9), square(9)
    first = [BackgroundEdited(source, masks, name, 4, 5).image(k) for k in range(9)]
    np.testing.assert_array_equal(first, [BackgroundEdited(source, masks, name, 4, 5).image(k) for k in range(9)])
    others = [BackgroundEdited(source, masks, name, 4, 6).image(k) for k in range(9)]
    random = name in ("background_noise", "background_swap")
    assert random == (not np.array_equal(first, others))
    placed = BackgroundEdited(alike, square(4), name, 4, 5)
    assert (name == "background_noise") == (not np.array_equal(placed.image(0), placed.image(1)))


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_masks_may_be_all_white_or_all_black(name):
    source = pictures(2)
    masks = ArraySource(np.stack([np.full((16, 16), v, np.uint8) for v in (255, 0)]), [0, 0])
    made = BackgroundEdited(source, masks, name, 5)
    np.testing.assert_array_equal(made.image(0), source.images[0])
    assert not np.shares_memory(made.image(0), source.images)
    assert (made.image(1) != source.images[1]).mean() > 0.9


def test_it_is_a_source_like_any_other():
    source, masks = pictures(), square(6)
    made = BackgroundEdited(source, masks, "background_noise", 3, seed=5)
    assert isinstance(made, ImageSource)
    assert (len(made), made.classes, made.name) == (6, source.classes, "made (background_noise 3)")
    np.testing.assert_array_equal(made.labels, source.labels)
    assert made.item_name(1) == "background_noise 3 of made[1]"
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.image(0), made.image(0))
    np.testing.assert_array_equal(Subset(made, [4]).image(0), made.image(4))


def test_fingerprint_depends_on_all_of_it():
    source, masks = pictures(), square(6)
    settings = [("background_grey", 1, 0), ("background_grey", 2, 0), ("background_grey", 1, 1),
                ("background_blur", 1, 0)]  # fmt: skip
    prints = {BackgroundEdited(source, masks, *s).fingerprint() for s in settings}
    prints.add(BackgroundEdited(pictures(seed=1), masks, *settings[0]).fingerprint())
    prints.add(BackgroundEdited(source, square(6, high=9), *settings[0]).fingerprint())
    assert len(prints) == 6
    assert BackgroundEdited(pictures(), square(6), *settings[0]).fingerprint() in prints


def test_refuses_what_does_not_fit():
    source = pictures()
    with pytest.raises(UnknownNameError, match="background_grey"):
        BackgroundEdited(source, square(6), "background_gray", 1)
    for bad in (0, 6, 2.5):
        with pytest.raises(ConfigError, match="severity"):
            BackgroundEdited(source, square(6), "background_grey", bad)
    for count in (5, 7):
        with pytest.raises(DataError, match=f"(?s)each of the 6 images of made.*{count} in masks.*order"):
            BackgroundEdited(source, square(count), "background_grey", 1)
    with pytest.raises(DataError, match=r"(?s)16×16 pixels.*12×12: masks\[2\].*size"):
        BackgroundEdited(source, square(6, 12), "background_grey", 1).image(2)
    narrow = ArraySource(square(6).images[:, :, :9], np.zeros(6, int))
    with pytest.raises(DataError, match="given: 16×9"):
        BackgroundEdited(source, narrow, "background_grey", 1).image(0)
    with pytest.raises(DataError, match="one, in made"):
        BackgroundEdited(pictures(1), square(1), "background_swap", 1)


def test_masks_of_a_part_are_those_of_its_images():
    source = pictures(9)
    masks = ArraySource(np.zeros((9, 16, 16), np.uint8), np.zeros(9, int), name="masks")
    for k in range(9):
        masks.images[k, : k + 1] = 255
    part = Subset(Subset(source, [8, 3, 1, 6]), [1, 0, 3])  # images 3, 8, 6
    found = masks_of(part, masks)
    assert [(found.image(k)[:, 0, 0] == 255).sum() for k in range(3)] == [4, 9, 7]
    made = BackgroundEdited(part, found, "background_grey", 5)
    np.testing.assert_array_equal(made.image(2)[:7], source.images[6, :7])
    assert (made.image(2)[7:] == made.image(2)[7, 0]).all()


def test_masks_of_a_part_are_looked_at_at_once():
    part = Subset(pictures(4), [0, 2])
    with pytest.raises(DataError, match=r"(?s)each of the 4 images of made.*2 in masks"):
        masks_of(part, square(2))
    images = [np.full((16, 16, 1), 255 * (k % 3 > 0), np.uint8) for k in range(4)]
    sized = [*images[:2], images[2][:8], images[3]]
    with pytest.raises(DataError, match=r"(?s)16×16 pixels.*8×16: sized\[2\]"):
        masks_of(part, Sized(sized, [0] * 4))
    masks_of(Subset(part.source, [0, 1]), Sized(sized, [0] * 4))  # the odd one is not among them
    with pytest.raises(DataError, match="damaged"):
        masks_of(part, Sized(images, [0] * 4, {2}))
    unread = Subset(ArraySource(part.source.images, [0] * 4, broken={2: DataError("a", "b", "c")}), [0, 1, 2])
    masks_of(unread, Sized(images, [0] * 4, {2}))
    for value, word in ((1, "black"), (255, "white")):
        same = ArraySource(np.full((4, 16, 16), value, np.uint8), [0] * 4)
        with pytest.raises(DataError, match=f"nothing but {word}"):
            masks_of(part, same)


def test_the_page_tells_every_edit_as_it_is():
    rows = re.findall(r"^\| backgrounds \| `(\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == sorted(BACKGROUNDS)
    source, masks = pictures(9), square(9)
    for name, random in rows:
        made = [[BackgroundEdited(source, masks, name, 5, s).image(k) for k in range(9)] for s in (0, 1)]
        assert (random == "yes") == (not np.array_equal(*made)), name
