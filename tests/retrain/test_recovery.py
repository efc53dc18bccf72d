"""The point of it all, in seconds: a re-training wins back most of what merging has cost."""

import numpy as np
import pytest

import rmeeto
from rmeeto.data import ArraySource, Preprocessing
from rmeeto.retrain import PRESETS, World, retrain
from rmeeto.retrain.validation import validate

PREPROCESSING = Preprocessing(8, 1, (0.5,), (0.2,))


def images(count, seed):
    """Noisy copies of eight patterns."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(9).integers(0, 128, (8, 8, 8))
    labels = rng.integers(0, 8, count)
    pixels = patterns[labels] + rng.integers(0, 128, (count, 8, 8))
    return ArraySource(pixels.astype(np.uint8), labels)


def vim():
    """Three layers over 4 x 4 patches and a class token."""
    return rmeeto.create_model(
        "vim_test", img_size=8, patch_size=2, in_chans=1, num_classes=8, embed_dim=24, depth=3,
        mean=(0.5,), std=(0.2,),
    )  # fmt: skip


def accuracy(model, source):
    return validate(model, source, PREPROCESSING, 128, "fp32", World()).accuracy


@pytest.mark.slow
def test_retraining_wins_back_most_of_what_merging_cost(tmp_path):
    train, val, test = images(512, 0), images(128, 1), images(512, 2)
    scratch = PRESETS["scratch"].changed(epochs=8.0, batch_size=32, augment="none", lr=3e-3)
    full = vim()
    retrain(full, scratch, train, val, tmp_path / "full", preprocessing=PREPROCESSING)
    reduced = vim()
    reduced.load_state_dict(full.state_dict())
    rmeeto.reduce_(reduced, rmeeto.RMeeTo(r=4))
    baseline, merged = accuracy(full, test), accuracy(reduced, test)
    small = PRESETS["small"].changed(epochs=4.0, batch_size=32, augment="none", lr=4e-3)
    retrain(
        reduced, small, train, val, tmp_path / "small", preprocessing=PREPROCESSING, teacher=full
    )
    rebuilt = accuracy(reduced, test)
    assert baseline > 0.9
    assert merged < baseline - 0.1
    assert (rebuilt - merged) / (baseline - merged) > 0.7
