"""What training does to images: a value, and the presets that have names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError, unknown_name


@dataclass(frozen=True)
class RandAugment:
    """Random operations of random strength on the uint8 image (``rand-m9-mstd0.5-inc1``).

    Source: Cubuk et al., "RandAugment" (arXiv:1909.13719), Sec. 3; differs in: strengths are
    normal around the magnitude, every operation gets stronger with it, and each runs with
    probability ``prob``, as in the DeiT recipe (arXiv:2012.12877).
    """

    magnitude: float = 9.0
    """Mean strength, 0..10."""
    num_ops: int = 2
    """Operations an image, drawn with replacement."""
    std: float = 0.5
    """Deviation of the strength."""
    prob: float = 0.5
    """Probability that a drawn operation runs."""

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude <= 10:
            raise ConfigError("magnitude in 0..10", repr(self.magnitude), "the recipe's is 9")
        if self.num_ops < 1 or self.std < 0:
            given = f"num_ops {self.num_ops}, std {self.std}"
            raise ConfigError(
                "num_ops of 1 or more and std of 0 or more", given, "the recipe: 2, 0.5"
            )
        _check_shares(self, "prob")


@dataclass(frozen=True)
class Augment:
    """Augmentation of training images, in the order in which it happens.

    Source: Touvron et al., "Training data-efficient image transformers" (arXiv:2012.12877),
    Tab. 9, from which the Vision Mamba and R-MeeTo recipes derive.
    """

    crop: Literal["rrc", "pad", "none"] = "none"
    """"rrc": random area and aspect, resized to the input; "pad": zero border, then a random
    crop of the input size; "none": the evaluation's resize and centre crop."""
    pad: int = 0
    """Border in pixels for crop="pad"."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Range of the area that crop="rrc" keeps, as a share of the image."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of width over height for crop="rrc"."""
    hflip: float = 0.0
    """Probability of a left-right flip."""
    color_jitter: float = 0.0
    """Brightness, contrast and saturation by factors in 1 ± this; **skipped while randaugment is
    set**, as in the recipe's own code."""
    randaugment: RandAugment | None = None
    """Random operations, or None."""
    erasing: float = 0.0
    """Probability that a rectangle (2 % to 1/3 of the area) becomes normal noise, pixel by pixel,
    after normalisation (arXiv:1708.04896)."""
    mixup: float = 0.0
    """α of the Beta distribution of mixup (arXiv:1710.09412); 0 = off."""
    cutmix: float = 0.0
    """α of the Beta distribution of CutMix (arXiv:1905.04899); 0 = off."""
    mix_prob: float = 1.0
    """Probability that a batch is mixed, where mixup or cutmix is on."""
    switch_prob: float = 0.5
    """Probability of CutMix rather than mixup, where both are on."""
    smoothing: float = 0.0
    """Label smoothing ε."""
    repeats: int = 1
    """How often an epoch draws each image it draws; the epoch's length stays (arXiv:1901.09335)."""

    def __post_init__(self) -> None:
        if self.crop not in ("rrc", "pad", "none"):
            raise ConfigError("a crop", repr(self.crop), 'use "rrc", "pad" or "none"')
        if self.pad < 0 or (self.crop == "pad") != (self.pad > 0):
            given = f"crop {self.crop!r} with pad {self.pad}"
            raise ConfigError("pad above 0 with crop='pad' only", given, "e.g. crop='pad', pad=4")
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ConfigError("scale as 0 < low <= high <= 1", repr(self.scale), "e.g. (0.08, 1.0)")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError("ratio as 0 < low <= high", repr(self.ratio), "e.g. (0.75, 1.333)")
        if min(self.color_jitter, self.mixup, self.cutmix) < 0:
            given = f"{self.color_jitter}, {self.mixup}, {self.cutmix}"
            raise ConfigError("color_jitter, mixup, cutmix of 0 or more", given, "0 = off")
        if self.repeats < 1:
            raise ConfigError("repeats of 1 or more", repr(self.repeats), "1 = each image once")
        _check_shares(self, "hflip", "erasing", "mix_prob", "switch_prob", "smoothing")

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed at all."""
        return self.mix_prob > 0 and max(self.mixup, self.cutmix) > 0


def _check_shares(config: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise ConfigError(f"{name} in 0..1", repr(getattr(config, name)), "0 turns it off")


AUGMENTS: dict[str, Augment] = {
    # The published re-training recipe. Its colour jitter of .4 is stated here and, as there,
    # has no effect because RandAugment is on.
    "rmeeto": Augment(
        crop="rrc",
        hflip=0.5,
        color_jitter=0.4,
        randaugment=RandAugment(),
        erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        smoothing=0.1,
        repeats=3,
    ),
    # Ours, for images of 28 to 64 pixels and runs of minutes: a small shift, a flip, no mixing.
    "light": Augment(crop="pad", pad=2, hflip=0.5),
    "none": Augment(),
}
"""Named presets."""


def get_augment(name: str) -> Augment:
    """The preset called ``name``; raises `UnknownNameError` with the nearest names."""
    if name not in AUGMENTS:
        raise unknown_name("augmentation", name, AUGMENTS)
    return AUGMENTS[name]
