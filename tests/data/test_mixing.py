"""Mixup and CutMix by their definitions, and their distributions."""

import numpy as np
import pytest
import torch

from rmeeto.data import AUGMENTS, Augment, mix, soft_targets

MIXUP = Augment(mixup=0.8)
CUTMIX = Augment(cutmix=1.0)


def batch(size=6, side=8, classes=5):
    images = torch.arange(size, dtype=torch.float32)[:, None, None, None].expand(
        size, 3, side, side
    )
    targets = soft_targets(torch.arange(size) % classes, classes)
    return images.contiguous(), targets


def test_soft_targets():
    out = soft_targets(torch.tensor([2, 0]), 4, 0.1)
    expected = [[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]]
    assert torch.allclose(out, torch.tensor(expected))
    assert out.dtype == torch.float32
    assert torch.equal(soft_targets(torch.tensor([1]), 2), torch.tensor([[0.0, 1.0]]))


def test_mixup_is_a_convex_combination_with_the_reversed_batch():
    images, targets = batch()
    mixed, soft = mix(images, targets, MIXUP, 3)
    lam = (mixed[0, 0, 0, 0] - 5) / (0 - 5)  # image 0 with image 5
    assert 0 < lam < 1
    assert torch.allclose(mixed, lam * images + (1 - lam) * images.flip(0))
    assert torch.allclose(soft, lam * targets + (1 - lam) * targets.flip(0))


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_one_rectangle_and_weighs_by_area(seed):
    images, targets = batch(side=16)
    mixed, soft = mix(images, targets, CUTMIX, seed)
    pasted = mixed[0, 0] == 5
    assert ((mixed[0] == 0) | (mixed[0] == 5)).all()
    assert torch.equal(mixed[2], torch.where(pasted, 3.0, 2.0).expand(3, 16, 16))
    rows, columns = pasted.any(1).nonzero(), pasted.any(0).nonzero()
    if len(rows):
        assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    lam = 1 - pasted.float().mean()
    assert torch.allclose(soft, lam * targets + (1 - lam) * targets.flip(0))


def test_arguments_are_left_as_they_were():
    for augment in (MIXUP, CUTMIX):
        images, targets = batch()
        mix(images, targets, augment, 1)
        assert torch.equal(images, batch()[0])
        assert torch.equal(targets, batch()[1])


def test_seed_decides():
    images, targets = batch(side=16)
    first, again, other = (mix(images, targets, AUGMENTS["rmeeto"], seed) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_off():
    images, targets = batch()
    for augment in (AUGMENTS["light"], Augment(mixup=0.8, mix_prob=0.0)):
        out = mix(images, targets, augment, 0)
        assert out[0] is images
        assert out[1] is targets


def lambdas(augment, count=600):
    """Share of the first image that stays, and whether it was cut."""
    images = torch.zeros(2, 1, 32, 32)
    images[1] = 1
    targets, out = torch.eye(2), []
    for seed in range(count):
        mixed, soft = mix(images, targets, augment, seed)
        cut = bool(((mixed == 0) | (mixed == 1)).all())
        out.append((soft[0, 0].item(), cut))
    return np.array(out)


def test_lambda_follows_the_beta_distribution():
    lam = lambdas(MIXUP)[:, 0]
    # Beta(.8, .8): mean ½, variance 1/(4 · 2.6)
    assert abs(lam.mean() - 0.5) < 0.04
    assert abs(lam.var() - 1 / 10.4) < 0.012


def test_switch_and_probability():
    both = lambdas(AUGMENTS["rmeeto"])
    assert 0.44 < both[:, 1].mean() < 0.56
    half = lambdas(Augment(mixup=0.8, mix_prob=0.5))
    assert 0.44 < (half[:, 0] == 1).mean() < 0.56
    assert lambdas(Augment(mixup=0.8, cutmix=1.0, switch_prob=0.0), 50)[:, 1].mean() < 0.1


def test_single_image_and_odd_batches():
    images, targets = batch(1)
    mixed, soft = mix(images, targets, MIXUP, 0)
    assert torch.allclose(mixed, images)
    assert torch.allclose(soft, targets)
    images, targets = batch(5)
    mixed, _ = mix(images, targets, MIXUP, 0)
    assert torch.allclose(mixed[2], images[2])  # the middle one meets itself
