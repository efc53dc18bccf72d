"""Preprocessing against an independent computation with Pillow, and its limits."""

import numpy as np
import pytest
from PIL import Image

from rmeeto.config import from_dict, to_dict
from rmeeto.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from rmeeto.errors import ConfigError, DataError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    "shape", [(300, 400), (400, 300), (256, 256), (257, 511), (100, 90), (224, 224)]
)
def test_published_evaluation(shape):
    """Shorter side to 256 (bicubic), centre crop of 224, ImageNet's mean and deviation."""
    image = noise(*shape, 3)
    height, width = shape
    short = min(shape)
    picture = Image.fromarray(image).resize(
        (int(256 * width / short), int(256 * height / short)), Image.Resampling.BICUBIC
    )
    left, top = round((picture.width - 224) / 2), round((picture.height - 224) / 2)
    cropped = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float64)
    expected = ((cropped / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    out = Preprocessing(224, crop_pct=0.875).apply(image)
    assert out.shape == (3, 224, 224)
    assert out.dtype == np.float32
    assert np.abs(out - expected).max() < 2e-6


def test_fitting_image_passes_untouched():
    image = noise(28, 28, 1)
    plain = Preprocessing(28, channels=1, mean=(0.0,), std=(1.0,))
    assert plain.fit(image) is image
    assert (np.round(plain.apply(image)[0] * 255) == image[..., 0]).all()
    assert (plain.apply(image[..., 0]) == plain.apply(image)).all()


def test_already_resized_image_is_only_cropped():
    image = noise(256, 256, 3)
    assert (Preprocessing(224, crop_pct=0.875).fit(image) == image[16:240, 16:240]).all()


@pytest.mark.parametrize(
    ("size", "crop", "shape", "resized"),
    [
        (28, 0.28, (50, 50), (100, 100)),  # 28 / 0.28 is a hair below 100 in floating point
        (32, 0.875, (64, 64), (36, 36)),
        ((32, 64), 1.0, (64, 64), (64, 64)),
        ((64, 32), 1.0, (64, 128), (64, 128)),
        ((32, 64), 0.5, (10, 100), (64, 640)),
    ],
)
def test_size_before_the_crop(size, crop, shape, resized):
    assert Preprocessing(size, crop_pct=crop)._resized(*shape) == resized


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_interpolations(interpolation):
    image = noise(20, 20, 3)
    expected = Image.fromarray(image).resize(
        (10, 10), getattr(Image.Resampling, interpolation.upper())
    )
    assert (Preprocessing(10, interpolation=interpolation).fit(image) == np.asarray(expected)).all()


def test_grey_becomes_colour_and_back():
    grey, colour = noise(8, 8, 1), noise(8, 8, 3)
    assert (Preprocessing(8).fit(grey) == np.repeat(grey, 3, 2)).all()
    one = Preprocessing(8, channels=1, mean=(0.5,), std=(0.5,))
    luma = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(one.fit(colour)[..., 0] - luma).max() <= 1


def test_batch_equals_single_images():
    images = noise(5, 8, 8, 3)
    recipe = Preprocessing(8)
    assert (recipe.normalise(images) == np.stack([recipe.apply(image) for image in images])).all()


def test_fill_is_the_mean_colour():
    assert Preprocessing(8).fill == (124, 116, 104)


@pytest.mark.parametrize(
    "wrong",
    [
        {"img_size": 0},
        {"channels": 2},
        {"channels": 1},
        {"std": (1.0, 0.0, 1.0)},
        {"crop_pct": 0.0},
        {"crop_pct": 1.5},
        {"interpolation": "cubic"},
    ],
)
def test_refuses(wrong):
    with pytest.raises(ConfigError):
        Preprocessing(**wrong)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_refuses_what_is_no_image(image):
    with pytest.raises(DataError):
        Preprocessing(4).apply(image)


def test_survives_json():
    original = Preprocessing((28, 32), channels=1, mean=(0.2,), std=(0.3,))
    assert from_dict(Preprocessing, to_dict(original)) == original
    assert Preprocessing(**to_dict(original)) == original
