"""Outliers from ID images: what they keep, what they destroy, and what they depend on."""

import numpy as np
import pytest
import torch

from rmeeto.data import ID_OUTLIERS, blend, fractal, id_outliers, jigsaw, noise
from rmeeto.errors import ShapeError, UnknownNameError

SEEDS = [3, 14, 15, 92, 65]


@pytest.fixture
def images():
    g = torch.Generator().manual_seed(0)
    return torch.randn(5, 3, 16, 24, generator=g) * torch.tensor([1.0, 2.0, 0.5])[:, None, None] + 1


@pytest.mark.parametrize("kind", sorted(ID_OUTLIERS))
def test_shape_type_and_determinism(images, kind):
    before = images.clone()
    out = id_outliers(images, SEEDS, kind)
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert torch.equal(images, before)
    assert torch.equal(out, id_outliers(images, SEEDS, kind))
    assert not torch.equal(out, id_outliers(images, [s + 1 for s in SEEDS], kind))
    assert (out != images).flatten(1).any(1).all()


@pytest.mark.parametrize("make", [jigsaw, noise, fractal])
def test_an_image_depends_on_its_own_seed_only(images, make):
    alone = make(images[2:3], SEEDS[2:3])
    torch.testing.assert_close(make(images, SEEDS)[2], alone[0], rtol=1e-5, atol=1e-6)


def test_jigsaw_moves_whole_tiles(images):
    out = jigsaw(images, SEEDS, grid=2)
    for image, mixed in zip(images, out, strict=True):
        tiles = [image[:, r : r + 8, c : c + 12] for r in (0, 8) for c in (0, 12)]
        moved = [mixed[:, r : r + 8, c : c + 12] for r in (0, 8) for c in (0, 12)]
        order = [[torch.equal(a, b) for b in tiles].index(True) for a in moved]
        assert sorted(order) == [0, 1, 2, 3]
        assert order != [0, 1, 2, 3]


def test_jigsaw_never_returns_the_image(images):
    same = images[:1].expand(200, -1, -1, -1)
    out = jigsaw(same, list(range(200)), grid=2)  # the identity would come up 8 times in 200
    assert (out != same).flatten(1).any(1).all()


def test_blend_is_a_mixture_of_about_halves():
    ones, zeros = torch.ones(300, 1, 2, 2), torch.zeros(300, 1, 2, 2)
    shares = blend(ones, zeros, list(range(300)))[:, 0, 0, 0]
    assert shares.min() >= 0.35
    assert shares.max() <= 0.65
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("make", [noise, fractal])
def test_noise_keeps_mean_and_spread(images, make):
    out = make(images, SEEDS)
    torch.testing.assert_close(out.mean((-2, -1)), images.mean((-2, -1)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        out.std((-2, -1), correction=0), images.std((-2, -1), correction=0), atol=1e-5, rtol=1e-5
    )


def test_a_constant_image_gives_a_constant():
    assert torch.equal(noise(torch.ones(1, 1, 4, 4), [0]), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_fractal_spectrum_falls_as_asked(exponent):
    g = torch.Generator().manual_seed(1)
    images = torch.randn(64, 1, 64, 64, generator=g)
    power = np.abs(np.fft.fft2(fractal(images, list(range(64)), exponent).numpy())) ** 2
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
    ring = (f > 0.05) & (f < 0.45)
    slope = np.polyfit(np.log(f[ring]), np.log(power.mean((0, 1))[ring]), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.1)


def test_refusals(images):
    with pytest.raises(ShapeError, match="divides both sides"):
        jigsaw(images, SEEDS, grid=5)
    with pytest.raises(ShapeError, match="as many seeds"):
        noise(images, SEEDS[:2])
    with pytest.raises(ShapeError, match="one partner"):
        blend(images, images[:2], SEEDS)
    with pytest.raises(ShapeError, match="blended with itself"):
        id_outliers(images[:1], SEEDS[:1], "blend")
    with pytest.raises(UnknownNameError, match="jigsaw"):
        id_outliers(images, SEEDS, "jigsow")
