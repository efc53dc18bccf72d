"""Corruptions: bytes in and out, what they depend on, and that a higher severity is stronger."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from rmeeto.data import (
    CORRUPTIONS,
    ArraySource,
    Corrupted,
    ImageSource,
    Subset,
    corrupt,
    corruption_names,
    open_source,
)
from rmeeto.data.corruptions.filters import convolve, gaussian_kernel, line_kernel, plasma, sample
from rmeeto.errors import ConfigError, DataError, ShapeError, UnknownNameError

COMMON = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur"),
    *("zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform"),
    *("pixelate", "jpeg_compression"),
}
EXTRA = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
NAMES = CORRUPTIONS.names()
SIZES = [(8, 8), (28, 28), (64, 48), (1, 1), (5, 100), (96, 97)]


def texture(height, width, seed=0, channels=3):
    """Colours with the 1/f spectrum of photographs and two edges."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal((height, width, channels)), axes=(0, 1))
    field = np.fft.irfft2(white / frequency[..., None], (height, width), axes=(0, 1))
    field = 120 + 45 * field / max(field.std(), 1e-9)
    field[height // 4 : height // 2, width // 3 :] += 50
    field[:, : width // 4] -= 40
    return np.clip(field, 0, 255).astype(np.uint8)


DEMO = open_source("demo", "test")
IMAGES = {
    "demo": [DEMO.image(i) for i in range(12)],
    "28": [texture(28, 28, s) for s in range(8)],
    "64x48": [texture(64, 48, s) for s in range(6)],
    "112": [texture(112, 112, s) for s in range(2)],
    "224": [texture(224, 230)],
}


def test_all_the_paper_names():
    assert set(corruption_names("common")) == COMMON
    assert set(corruption_names("extra")) == EXTRA
    assert set(corruption_names("extra", channels=1)) == EXTRA - {"saturate"}
    assert len(corruption_names("perspective")) == 8
    assert sorted(COMMON | EXTRA | set(corruption_names("perspective"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_in_and_out(name, channels):
    if CORRUPTIONS.get(name).colour and channels == 1:
        with pytest.raises(ShapeError, match="one channel"):
            corrupt(texture(8, 8, channels=1), name, 1)
        return
    for height, width in SIZES:
        image = texture(height, width, channels=channels)
        before = image.copy()
        for severity in (1, 5):
            out = corrupt(image, name, severity, 7)
            assert out.dtype == np.uint8
            assert out.shape == image.shape
            np.testing.assert_array_equal(out, corrupt(image, name, severity, 7))
            assert not np.shares_memory(out, image)
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_are_fine(name, value):
    for channels in (1, 3) if not CORRUPTIONS.get(name).colour else (3,):
        for severity in (1, 5):
            corrupt(np.full((16, 16, channels), value, np.uint8), name, severity)


@pytest.mark.parametrize("name", NAMES)
def test_seed_matters_where_it_is_said_to(name):
    image = texture(28, 28)
    outs = [corrupt(image, name, 3, seed) for seed in (0, 1, -5)]
    differs = any(not np.array_equal(outs[0], out) for out in outs[1:])
    assert differs == CORRUPTIONS.get(name).random


def strengths(name, images):
    """Mean absolute error at every severity."""
    return [
        np.mean([np.abs(corrupt(x, name, s, i) - x.astype(float)) for i, x in enumerate(images)])
        for s in range(1, 6)
    ]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "saturate"])
@pytest.mark.parametrize("images", sorted(IMAGES))
def test_severity_rises(name, images):
    found = strengths(name, IMAGES[images])
    assert found[0] > 0
    assert all(later >= 0.95 * sooner for sooner, later in pairwise(found)), found
    assert found[4] > 1.1 * found[0]


def test_saturate_takes_colour_away_then_adds_it():
    spread = [np.ptp(corrupt(texture(32, 32), "saturate", s), -1).mean() for s in range(1, 6)]
    clean = np.ptp(texture(32, 32), -1).mean()
    assert spread[1] < spread[0] < clean < spread[2] < spread[3] < spread[4]


@pytest.mark.parametrize("name", NAMES)
def test_small_and_large_have_five_settings(name):
    entry = CORRUPTIONS.get(name)
    assert len(entry.small) == len(entry.large) == 5
    assert len({len(s) for s in (*entry.small, *entry.large)}) == 1
    assert entry.body.__doc__
    assert "Source:" in entry.body.__doc__ or entry.family == "perspective"


def test_size_decides_the_settings():
    flat = np.full((96, 96, 1), 100, np.uint8)
    assert corrupt(flat, "brightness", 1)[0, 0, 0] == 126  # 100 + 0.1 · 255, rounded
    assert corrupt(flat[:95], "brightness", 1)[0, 0, 0] == 113


def test_by_hand():
    image = np.array([[[100], [200]]], np.uint8)
    np.testing.assert_array_equal(corrupt(image, "contrast", 2), [[[125], [175]]])
    colour = np.array([[[200, 100, 50]]], np.uint8)  # value 200, saturation 0.75
    np.testing.assert_array_equal(corrupt(colour, "saturate", 1)[0, 0], [200, 170, 155])
    np.testing.assert_array_equal(corrupt(colour, "brightness", 4)[0, 0], [251, 126, 63])
    salted = corrupt(np.full((200, 200, 1), 99, np.uint8), "impulse_noise", 5)
    assert set(np.unique(salted)) == {0, 99, 255}
    assert (salted != 99).mean() == pytest.approx(0.27, abs=0.01)


def test_noise_has_the_stated_spread():
    flat = np.full((64, 64, 3), 128, np.uint8)
    for name, spread in [
        ("gaussian_noise", 0.1),
        ("speckle_noise", 0.2 * 128 / 255),
        ("shot_noise", (128 / 255 / 50) ** 0.5),
    ]:
        assert (corrupt(flat, name, 5) / 255).std() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("bad", [0, 6, 2.5])
def test_refuses_other_severities(bad):
    with pytest.raises(ConfigError, match="severity"):
        corrupt(texture(8, 8), "fog", bad)
    with pytest.raises(ConfigError, match="severity"):
        Corrupted(DEMO, "fog", bad)


def test_refuses_what_is_no_image_and_no_name():
    with pytest.raises(UnknownNameError, match="gaussian_noise"):
        corrupt(texture(8, 8), "gausian_noise", 1)
    with pytest.raises(UnknownNameError):
        corruption_names("comon")
    for bad in (texture(8, 8)[..., 0], texture(8, 8) / 255, np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(ShapeError):
            corrupt(bad, "fog", 1)


@pytest.fixture
def source():
    images = np.stack([texture(16, 16, s) for s in range(4)])
    return ArraySource(
        images, [0, 1, 0, 1], ["a", "b"], "made", broken={2: DataError("a", "b", "c")}
    )


def test_source(source):
    made = Corrupted(source, "gaussian_noise", 3, seed=5)
    assert isinstance(made, ImageSource)
    assert (len(made), made.classes, made.name) == (4, ["a", "b"], "made (gaussian_noise 3)")
    np.testing.assert_array_equal(made.labels, source.labels)
    assert made.item_name(1) == "gaussian_noise 3 of made[1]"
    np.testing.assert_array_equal(made.image(1), made.image(1))
    with pytest.raises(DataError):
        made.image(2)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.image(0), made.image(0))


def test_source_depends_on_seed_and_position(source):
    same = ArraySource(np.repeat(source.images[:1], 2, 0), [0, 0])
    made = Corrupted(same, "gaussian_noise", 3, seed=5)
    assert not np.array_equal(made.image(0), made.image(1))
    other = Corrupted(same, "gaussian_noise", 3, seed=6)
    assert not np.array_equal(made.image(0), other.image(0))
    assert np.array_equal(Subset(made, [1]).image(0), made.image(1))


def test_fingerprint(source):
    kinds = [("fog", 1, 0), ("fog", 2, 0), ("fog", 1, 1), ("frost", 1, 0)]
    prints = {Corrupted(source, *kind).fingerprint() for kind in kinds} | {source.fingerprint()}
    assert len(prints) == 5
    assert Corrupted(source, "fog", 1).fingerprint() in prints


@pytest.mark.parametrize(
    "kernel", [gaussian_kernel(0.8), line_kernel(5, 2, 0.3), gaussian_kernel(9)]
)
def test_convolution_is_the_sum_it_says(kernel):
    image = np.random.default_rng(0).random((6, 9, 2))
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    wanted = np.zeros_like(image)
    for i, j in np.ndindex(*kernel.shape):
        y, x = 2 * reach - i, 2 * reach - j
        wanted += kernel[i, j] * padded[y : y + 6, x : x + 9]
    np.testing.assert_allclose(convolve(image, kernel), wanted, atol=1e-12)


def test_sampling_and_clouds():
    image = np.arange(6.0).reshape(2, 3, 1)
    at = sample(image, np.array([[0.5]]), np.array([[1.5]]))
    assert at.item() == pytest.approx(3.0)
    out = sample(image, np.array([[5.0, 0]]), np.array([[1.0, -0.5]]), black=True)
    np.testing.assert_allclose(out[..., 0], [[0, 0]])
    np.testing.assert_allclose(sample(image, np.array([[9.0]]), np.array([[9.0]])).item(), 5)
    clouds = plasma(32, 32, 2, np.random.default_rng(0))
    assert (clouds.min(), clouds.max()) == (0, 1)
    rough = plasma(32, 32, 1.2, np.random.default_rng(0))
    assert np.abs(np.diff(clouds)).mean() < np.abs(np.diff(rough)).mean()
