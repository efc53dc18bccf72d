"""MixOE's mixtures by their definition, and LogitNorm."""

import math

import numpy as np
import pytest
import torch

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.objectives import MixOE, cross_entropy, logit_norm, mix_with_outliers


def batch(count=6, outliers=4, side=8, classes=5):
    images = torch.ones(count, 3, side, side)
    targets = torch.nn.functional.one_hot(torch.arange(count) % classes, classes).float()
    return images, targets, -torch.ones(outliers, 3, side, side)


@pytest.mark.parametrize("kind", ["cutmix", "mixup"])
@pytest.mark.parametrize("seed", range(8))
def test_targets_follow_the_share_of_the_image(kind, seed):
    images, targets, outliers = batch()
    mixed, soft = mix_with_outliers(
        images, targets, outliers, np.random.default_rng(seed), MixOE(kind, 1.0, 1.0)
    )
    share = (mixed.mean() + 1) / 2  # ID pixels are 1, outliers −1
    torch.testing.assert_close(soft, share * targets + (1 - share) / 5)
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    assert (images == 1).all()
    assert mixed.shape == images.shape
    if kind == "cutmix":
        assert set(mixed.unique().tolist()) <= {-1.0, 1.0}


def test_defaults_are_mostly_outlier():
    images, targets, outliers = batch()
    rng, mixup = np.random.default_rng(0), MixOE("mixup")
    peaks = [mix_with_outliers(images, targets, outliers, rng, mixup)[1].max() for _ in range(2000)]
    shares = (np.array(peaks) - 0.2) / 0.8
    assert shares.mean() == pytest.approx(1 / 11, abs=0.02)  # the mean of Beta(0.1, 1)


def test_outliers_pair_up_in_turn():
    images, targets, _ = batch()
    outliers = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8)
    rng, config = np.random.default_rng(0), MixOE("mixup", 1e-9, 1.0)  # λ = 0
    mixed, _ = mix_with_outliers(images, targets, outliers, rng, config)
    assert mixed[:, 0, 0, 0].tolist() == pytest.approx([0, 1, 2, 3, 0, 1], abs=1e-6)
    more = torch.cat([outliers] * 3)
    assert len(mix_with_outliers(images, targets, more, rng, config)[0]) == 6


def test_mixing_depends_on_its_generator_only():
    first, again = (mix_with_outliers(*batch(), np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_mixing_refuses_what_does_not_fit():
    images, targets, outliers = batch()
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match="preprocess"):
        mix_with_outliers(images, targets, outliers[..., :4], rng)
    with pytest.raises(ShapeError, match="soft_targets"):
        mix_with_outliers(images, torch.arange(6), outliers, rng)
    with pytest.raises(ConfigError, match="cutmix"):
        MixOE("paste")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="above 0"):
        MixOE(alpha=0.0)


def test_logit_norm_in_plain_loops():
    g = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(5, 4, dtype=torch.float64, generator=g), [0, 3, 1, 1, 2]
    total = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        length = math.sqrt(sum(f * f for f in row))
        scaled = [f / length / 0.04 for f in row]
        top = max(scaled)
        total += top + math.log(sum(math.exp(f - top) for f in scaled)) - scaled[label]
    assert logit_norm(logits, torch.tensor(labels)).item() == pytest.approx(total / 5)


def test_logit_norm_ignores_length_and_survives_zero():
    g = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(5, 4, generator=g), torch.tensor([0, 3, 1, 1, 2])
    torch.testing.assert_close(logit_norm(logits, labels), logit_norm(50 * logits, labels))
    zero = torch.zeros(2, 4, requires_grad=True)
    value = logit_norm(zero, torch.tensor([0, 1]))
    value.backward()
    assert value.item() == pytest.approx(math.log(4))
    assert torch.isfinite(zero.grad).all()
    unit = logits / logits.norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        logit_norm(logits, labels, 0.1, 0.2), cross_entropy(unit / 0.1, labels, 0.2)
    )
    with pytest.raises(ConfigError, match=r"0\.04"):
        logit_norm(logits, labels, 0.0)
