"""RandAugment's operations at chosen strengths, on grey and on colour."""

import numpy as np
import pytest
from PIL import Image

from rmeeto.data import RandAugment
from rmeeto.data.randaugment import OPERATIONS, Stroke, color_jitter, rand_augment
from rmeeto.data.streams import generator

NEAREST = Image.Resampling.NEAREST
FILL = (10, 20, 30)


def picture(mode="RGB", side=20):
    array = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(array).convert(mode)


def run(name, strength, sign=1, mode="RGB", image=None):
    image = picture(mode) if image is None else image
    return np.asarray(OPERATIONS[name](image, Stroke(strength, sign, NEAREST, FILL)), np.int64)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operations_keep_size_and_mode(name, strength, mode):
    for sign in (-1, 1):
        out = OPERATIONS[name](picture(mode), Stroke(strength, sign, NEAREST, FILL))
        assert out.size == (20, 20)
        assert out.mode == mode


GROWING = sorted(set(OPERATIONS) - {"autocontrast", "equalize", "invert", "posterize"})


@pytest.mark.parametrize("name", GROWING)
def test_strength_zero_changes_nothing_and_one_does(name):
    assert (run(name, 0.0) == np.asarray(picture())).all()
    assert (run(name, 1.0) != np.asarray(picture())).mean() > 0.05


def test_there_are_fifteen():
    assert len(OPERATIONS) == 15


def test_pixel_operations():
    x = np.asarray(picture(), np.int64)
    assert (run("invert", 0.3) == 255 - x).all()
    assert (run("posterize", 0.9) == x & 0x80).all()  # 4 − ⌊3.6⌋ = 1 bit
    assert (run("posterize", 0.0) == x & 0xF0).all()
    assert (run("posterize", 1.0) == 0).all()
    assert (run("solarize", 0.5) == np.where(x < 128, x, 255 - x)).all()
    assert (run("solarize_add", 0.5) == np.where(x < 128, np.minimum(255, x + 55), x)).all()
    assert np.abs(run("brightness", 0.5) - np.clip(x * 1.45, 0, 255)).max() <= 1
    assert np.abs(run("brightness", 1.0, -1) - x * 0.1).max() <= 1


def test_saturation_leaves_grey_alone():
    assert (run("color", 1.0, mode="L") == np.asarray(picture("L"))).all()


def test_geometry():
    x = np.asarray(picture(), np.int64)
    right = run("translate_x", 5 / 9)  # 0.45 × 5/9 × 20 = 5 pixels
    assert (right[:, :15] == x[:, 5:]).all()
    assert (right[:, 15:] == FILL).all()
    down = run("translate_y", 5 / 9, -1)
    assert (down[5:] == x[:15]).all()
    assert (down[:5] == FILL).all()
    turned = OPERATIONS["rotate"](picture(), Stroke(1.0, 1, NEAREST, FILL))
    assert turned == picture().rotate(30, NEAREST, fillcolor=FILL)
    dot = Image.fromarray(np.eye(1, 21 * 21, 0, dtype=np.uint8).reshape(21, 21) * 255)
    assert np.argwhere(run("shear_x", 1.0, image=dot) == 255).tolist() == [
        [0, 0]
    ]  # the corner stays
    row = np.zeros((21, 21), np.uint8)
    row[20, 10] = 255
    assert np.argwhere(run("shear_x", 1.0, image=Image.fromarray(row)) == 255).tolist() == [[20, 4]]
    assert np.argwhere(run("shear_y", 1.0, image=Image.fromarray(row.T)) == 255).tolist() == [
        [4, 20]
    ]
    grey = np.asarray(OPERATIONS["rotate"](picture("L"), Stroke(1.0, 1, NEAREST, FILL)))
    assert grey[0, 0] == FILL[0]


def test_operations_are_drawn_evenly_with_their_probability(monkeypatch):
    drawn = []
    for name in OPERATIONS:
        monkeypatch.setitem(
            OPERATIONS, name, lambda image, stroke, name=name: drawn.append((name, stroke)) or image
        )
    for seed in range(2000):
        rand_augment(picture(side=2), RandAugment(), generator(seed))
    assert 1850 < len(drawn) < 2150  # 2,000 images × 2 operations × ½, deviation 32
    names, counts = np.unique([name for name, _ in drawn], return_counts=True)
    assert set(names) == set(OPERATIONS)
    assert 85 < counts.min() <= counts.max() < 185  # 133 expected, deviation 11
    strengths = np.array([stroke.strength for _, stroke in drawn])
    # normal(9, ½)/10 with what exceeds 10 put at 10
    assert strengths.max() == 1.0
    assert abs(np.median(strengths) - 0.9) < 0.01
    assert abs((strengths == 1).mean() - 0.0228) < 0.02
    assert 0.45 < np.mean([stroke.sign for _, stroke in drawn]) / 2 + 0.5 < 0.55


def test_probability_one_and_zero():
    assert rand_augment(picture(), RandAugment(prob=0.0), generator(0)) == picture()
    certain = RandAugment(magnitude=10.0, std=0.0, prob=1.0)
    changed = sum(
        rand_augment(picture(), certain, generator(seed)) != picture() for seed in range(20)
    )
    assert changed >= 18


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_color_jitter(mode):
    image = picture(mode)
    assert color_jitter(image, 0.0, generator(0)) == image
    one, two = (np.asarray(color_jitter(image, 0.4, generator(0)), np.int64) for _ in range(2))
    assert (one == two).all()
    assert (one != np.asarray(image)).any()
    white = Image.new(mode, (4, 4), "white")
    levels = [np.asarray(color_jitter(white, 0.4, generator(seed))).mean() for seed in range(50)]
    assert min(levels) >= 255 * 0.6 - 1  # contrast and saturation keep a flat grey
    assert min(levels) < 255 * 0.75
