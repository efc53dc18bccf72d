"""Inputs for timing: seeded noise, and real images that start over."""

import numpy as np
import torch

from rmeeto.data import ArraySource, Preprocessing
from rmeeto.errors import DataError
from rmeeto.profiling import ImageInput, NoiseInput


def test_noise_is_seeded_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first = NoiseInput(8, 1, seed=3)(2)
    assert first.shape == (2, 1, 8, 8)
    assert torch.equal(first, NoiseInput(8, 1, seed=3)(2))
    assert not torch.equal(first, NoiseInput(8, 1, seed=4)(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert NoiseInput((8, 4))(1).shape == (1, 3, 8, 4)
    assert NoiseInput((8, 4)).name == "noise 3×8×4, seed 0"


def test_images_are_preprocessed_and_start_over():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    source = ArraySource(images, np.zeros(3, np.int64), ["a"], "steps", "0" * 16)
    make = ImageInput(source, Preprocessing(4, 1, mean=(0.0,), std=(1.0,)))
    assert make.name == "images of steps"
    assert (make(7)[:, 0, 0, 0] * 255).round().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert make(2).shape == (2, 1, 4, 4)


def test_a_corrupt_image_among_those_to_time_is_left_out():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    broken = {0: DataError("an image", "#0", "broken on purpose")}
    source = ArraySource(images, np.zeros(3, np.int64), ["a"], "steps", "0" * 16, broken)
    make = ImageInput(source, Preprocessing(4, 1, mean=(0.0,), std=(1.0,)))
    assert (make(3)[:, 0, 0, 0] * 255).round().tolist() == [1, 2, 1]
