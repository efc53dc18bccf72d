"""Augmented views: against slow versions of the same definition, and in distribution."""

import numpy as np
import pytest
from PIL import Image

from rmeeto.config import from_dict, to_dict
from rmeeto.data import AUGMENTS, Augment, Preprocessing, RandAugment, get_augment, make_views
from rmeeto.data.streams import Stream, seeds, uniforms
from rmeeto.data.views import _crop_box, _shift_and_flip
from rmeeto.errors import ConfigError, UnknownNameError

GREY = Preprocessing(8, channels=1, mean=(0.0,), std=(1.0,))
COLOUR = Preprocessing(16)


def noise(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def bytes_of(views):
    return np.round(views * 255).astype(np.uint8)


def test_none_is_the_evaluation():
    images, view_seeds = noise(6, 8, 8, 1), seeds(0, np.arange(6))
    views = make_views(images, GREY, AUGMENTS["none"], view_seeds)
    assert (bytes_of(views)[:, 0] == images[..., 0]).all()
    listed = make_views([*noise(2, 20, 24, 3)], COLOUR, AUGMENTS["none"], view_seeds[:2])
    assert (listed[1] == COLOUR.apply(noise(2, 20, 24, 3)[1])).all()


def test_light_is_a_shift_in_a_zero_border_and_a_flip():
    images, view_seeds = noise(40, 8, 8, 1), seeds(0, np.arange(40))
    views = bytes_of(make_views(images, GREY, AUGMENTS["light"], view_seeds))[:, 0]
    shifts = (uniforms(view_seeds, Stream.CROP, 2) * 5).astype(int)
    flips = uniforms(view_seeds, Stream.FLIP, 1)[:, 0] < 0.5
    for image, view, (top, left), flip in zip(images, views, shifts, flips, strict=True):
        border = np.zeros((12, 12), np.uint8)
        border[2:10, 2:10] = image[..., 0]
        window = border[top : top + 8, left : left + 8]
        assert (view == (window[:, ::-1] if flip else window)).all()
    assert set(shifts.ravel()) == set(range(5))
    assert 0 < flips.sum() < 40


def test_flip_alone_and_never():
    images, view_seeds = noise(10, 8, 8, 3), seeds(0, np.arange(10))
    always = _shift_and_flip(images, Augment(hflip=1.0), view_seeds)
    assert (always == images[:, :, ::-1]).all()
    assert _shift_and_flip(images, Augment(), view_seeds) is images


@pytest.mark.parametrize("name", sorted(AUGMENTS))
@pytest.mark.parametrize("preprocessing", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_view_depends_on_its_seed_only(name, preprocessing):
    side, channels = preprocessing.size[0], preprocessing.channels
    images, view_seeds = noise(12, side, side, channels), seeds(4, np.arange(12))
    whole = make_views(images, preprocessing, AUGMENTS[name], view_seeds)
    assert whole.dtype == np.float32
    assert whole.shape == (12, channels, side, side)
    picked = [7, 2]
    again = make_views(images[picked], preprocessing, AUGMENTS[name], view_seeds[picked])
    assert (again == whole[picked]).all()
    if name != "none":
        other = make_views(images, preprocessing, AUGMENTS[name], seeds(5, np.arange(12)))
        assert (other != whole).any(axis=(1, 2, 3)).sum() > 6


def test_crop_boxes_keep_area_and_aspect():
    augment = Augment(crop="rrc")
    boxes = np.array([_crop_box(200, 240, augment, seed) for seed in range(2000)])
    top, left, height, width = boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 200).all()
    assert (left + width <= 240).all()
    share, ratio = height * width / 48_000, width / height
    assert share.min() > 0.07
    assert share.max() <= 1
    assert 0.73 < ratio.min() < 0.8 < 1.25 < ratio.max() < 1.36
    # areas of accepted boxes: uniform on 0.08..1 but for the largest, which fit more rarely
    assert 0.45 < share.mean() < 0.54


def test_crop_falls_back_to_the_centre():
    narrow = _crop_box(1000, 10, Augment(crop="rrc", scale=(0.9, 1.0)), 0)
    assert narrow == (493, 0, 13, 10)
    wide = _crop_box(10, 1000, Augment(crop="rrc", scale=(0.9, 1.0)), 0)
    assert wide == (0, 493, 10, 13)


def test_whole_crop_equals_the_evaluation():
    image = noise(20, 20, 3)
    augment = Augment(crop="rrc", scale=(1.0, 1.0), ratio=(1.0, 1.0))
    view = make_views([image], COLOUR, augment, seeds(0, [0]))[0]
    assert (view == COLOUR.apply(image)).all()


def test_crop_is_pillows_crop_and_resize():
    image, augment, view_seeds = noise(40, 50, 3), Augment(crop="rrc"), seeds(0, np.arange(4))
    views = make_views([image] * 4, COLOUR, augment, view_seeds)
    for view, seed in zip(views, view_seeds.tolist(), strict=True):
        top, left, height, width = _crop_box(40, 50, augment, seed)
        window = Image.fromarray(image).crop((left, top, left + width, top + height))
        expected = np.asarray(window.resize((16, 16), Image.Resampling.BICUBIC))
        assert (view == COLOUR.normalise(expected[None])[0]).all()


def test_erasing_fills_a_rectangle_with_noise():
    count = 400
    images, plain = np.zeros((count, 32, 32, 3), np.uint8), Preprocessing(32, mean=(0.5,) * 3)
    views = make_views(images, plain, Augment(erasing=0.25), seeds(0, np.arange(count)))
    clean = make_views(images[:1], plain, Augment(), seeds(0, [0]))[0]
    changed = (views != clean).all(1)
    erased = changed.any(axis=(1, 2))
    assert 0.18 < erased.mean() < 0.32
    areas = []
    for mask in changed[erased]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(mask.mean())
    assert 0.01 < min(areas) < 0.1 < 0.2 < max(areas) < 0.36
    values = views.transpose(0, 2, 3, 1)[changed]
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


def test_color_jitter_runs_only_without_randaugment():
    images, view_seeds = noise(8, 16, 16, 3), seeds(0, np.arange(8))
    plain = make_views(images, COLOUR, Augment(), view_seeds)
    jittered = make_views(images, COLOUR, Augment(color_jitter=0.4), view_seeds)
    assert (plain != jittered).any()
    policy = RandAugment(prob=0.0)
    skipped = make_views(images, COLOUR, Augment(color_jitter=0.4, randaugment=policy), view_seeds)
    assert (skipped == plain).all()


def test_published_preset():
    recipe = AUGMENTS["rmeeto"]
    assert recipe == Augment(
        crop="rrc", scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), hflip=0.5, color_jitter=0.4,
        randaugment=RandAugment(9, 2, 0.5, 0.5), erasing=0.25, mixup=0.8, cutmix=1.0,
        mix_prob=1.0, switch_prob=0.5, smoothing=0.1, repeats=3,
    )  # fmt: skip
    assert recipe.mixes
    assert not AUGMENTS["light"].mixes
    assert not Augment(mixup=0.8, mix_prob=0.0).mixes
    assert get_augment("light") is AUGMENTS["light"]
    with pytest.raises(UnknownNameError, match="did you mean rmeeto"):
        get_augment("rmeto")


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_presets_survive_a_file(name):
    assert from_dict(Augment, to_dict(AUGMENTS[name])) == AUGMENTS[name]


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": "random"}, {"crop": "pad"}, {"pad": 2}, {"scale": (0.0, 1.0)},
        {"scale": (0.5, 0.4)},
        {"ratio": (2.0, 1.0)}, {"hflip": 1.1}, {"erasing": -0.1}, {"mixup": -1.0},
        {"smoothing": 2.0},
        {"repeats": 0}, {"color_jitter": -0.4}, {"switch_prob": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_augmentations(wrong):
    with pytest.raises(ConfigError):
        Augment(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"magnitude": 11.0}, {"num_ops": 0}, {"std": -1.0}, {"prob": 2.0}]
)
def test_impossible_policies(wrong):
    with pytest.raises(ConfigError):
        RandAugment(**wrong)
