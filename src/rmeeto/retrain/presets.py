"""Named recipes."""

from __future__ import annotations

from ..errors import unknown_name
from .recipe import Recipe

PRESETS: dict[str, Recipe] = {
    # R-MeeTo's published recipe for ImageNet (arXiv 2412.12496), as stated there. Differs in: the
    # cosine moves every step, not every epoch; vectors, biases and the scan's A and D are not
    # decayed; accumulation is exact; the teacher is in evaluation mode.
    "rmeeto": Recipe(
        epochs=3.0,
        batch_size=512,
        lr=2e-5,
        min_lr=1e-6,
        warmup=0.0,
        weight_decay=0.05,
        distill_weight=0.5,
        drop_path=0.1,
        augment="rmeeto",
    ),
    # Ours, for thousands of images instead of a million: small batches, a larger rate, a
    # softer teacher, light augmentation; chosen on Fashion-MNIST validation images.
    "small": Recipe(
        epochs=3.0,
        batch_size=32,
        lr=1e-3,
        scale_lr=False,
        min_lr=1e-5,
        warmup=0.05,
        weight_decay=0.05,
        clip_grad=1.0,
        distill_weight=1.0,
        distill_temperature=3.0,
        drop_path=0.0,
        augment="light",
        ema_decay=0.99,
    ),
    # Ours, to train a small reference model from nothing.
    "scratch": Recipe(
        epochs=20.0,
        batch_size=128,
        lr=2e-3,
        scale_lr=False,
        min_lr=1e-5,
        warmup=0.05,
        weight_decay=0.05,
        clip_grad=1.0,
        smoothing=0.1,
        distill_weight=0.0,
        drop_path=0.0,
        augment="light",
        ema_decay=0.998,
    ),
}
"""Names → recipes; change one with `Recipe.changed`."""


def preset(name: str) -> Recipe:
    """The preset called ``name``; raises `UnknownNameError` with the nearest names."""
    if name not in PRESETS:
        raise unknown_name("recipe", name, PRESETS)
    return PRESETS[name]
