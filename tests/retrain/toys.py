"""A network and image sets small enough to re-train in a fraction of a second."""

import time

import numpy as np
import torch
from torch import nn

from rmeeto.data import ArraySource, Preprocessing
from rmeeto.retrain import Recipe

PREPROCESSING = Preprocessing(8, 1, (0.5,), (0.25,))
RECIPE = Recipe(
    max_steps=12, batch_size=16, lr=0.01, scale_lr=False, augment="light", distill_weight=0.0,
    log_every=4, ema_decay=0.9, checkpoint_seconds=None,
)  # fmt: skip


class Toy(nn.Module):
    """Two layers over 8 x 8 grey images; noise on the hidden layer stands for stochastic depth."""

    num_classes = 4

    def __init__(self, seed=0, noise=0.0, delay=0.0):
        super().__init__()
        self.delay = delay  # seconds that a forward pass sleeps
        self.hidden, self.head = nn.Linear(64, 16), nn.Linear(16, 4)
        self.noise, self.generator = noise, torch.Generator()
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def seed_drop_path(self, seed):
        self.generator.manual_seed(seed)

    def forward(self, images):
        time.sleep(self.delay)
        hidden = torch.tanh(self.hidden(images.flatten(1)))
        if self.training and self.noise:
            hidden = hidden + self.noise * torch.randn(hidden.shape, generator=self.generator)
        return self.head(hidden)


def images(count, seed=0):
    """Noisy copies of four patterns."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).integers(0, 128, (4, 8, 8))
    labels = rng.integers(0, 4, count)
    pixels = patterns[labels] + rng.integers(0, 128, (count, 8, 8))
    return ArraySource(pixels.astype(np.uint8), labels, name="toy images")


TRAIN, VAL = images(80), images(40, seed=1)


def weights(model):
    """All weights as one vector, copied."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()


def timeless(lines):
    """Log lines without what differs from run to run."""
    clocked = {"seconds", "seconds_left", "images_per_second"}
    return [{k: v for k, v in line.items() if k not in clocked} for line in lines]
