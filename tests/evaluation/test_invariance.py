"""Batch invariance: a model that ignores its neighbours, and one that does not."""

import numpy as np
import pytest
import torch
from torch import nn

from rmeeto.errors import ShapeError
from rmeeto.evaluation import batch_order_invariance

IMAGES = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Alone(nn.Module):
    def forward(self, images):
        return images.flatten(2).amax(2)


class FirstOfBatch(nn.Module):
    def forward(self, images):
        return (images - images[:1]).flatten(2).amax(2)


class MeanOfBatch(nn.Module):
    def forward(self, images):
        return images.flatten(2).amax(2) - images.mean()


def test_independent_images():
    found = batch_order_invariance(Alone(), IMAGES)
    assert (found.alone, found.permuted, found.largest) == (0, 0, 0)


def test_neighbours_are_seen():
    first = batch_order_invariance(FirstOfBatch(), IMAGES)
    assert first.alone > 0.1
    assert first.permuted > 0.1
    mean = batch_order_invariance(MeanOfBatch(), IMAGES)
    assert mean.permuted < 1e-5
    per_image = IMAGES.flatten(1).mean(1)
    wanted = (per_image - IMAGES.mean()).abs().max().item()
    assert mean.largest == pytest.approx(wanted, abs=1e-5)


def test_batch_norm_is_in_eval_mode_and_comes_back():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()).train()
    before = model[0].running_mean.clone()
    assert batch_order_invariance(model, IMAGES).largest < 1e-5
    assert model.training
    assert torch.equal(model[0].running_mean, before)


@pytest.mark.parametrize("seed", range(6))
def test_two_images_always_change_places(seed):
    assert batch_order_invariance(FirstOfBatch(), IMAGES[:2], seed).permuted > 0.1


def test_nan_is_not_hidden():
    broken = IMAGES.clone()
    broken[2] = np.nan
    assert np.isnan(batch_order_invariance(Alone(), broken).largest)


def test_one_image_is_refused():
    with pytest.raises(ShapeError, match="two or more"):
        batch_order_invariance(Alone(), IMAGES[:1])
