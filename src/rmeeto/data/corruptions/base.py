"""What a corruption is: a function of pixels, five settings for small images and five for large.

**Small or large.** An image whose shorter side has fewer than 96 pixels takes the small settings,
made for 32 pixels as in CIFAR-10-C; any other takes the large ones, made for 224 pixels as in
ImageNet-C. Lengths in pixels (radii, shifts) are multiplied by ``shorter side / 32`` (at least 1)
or ``/ 224``, so that a 64-pixel image is blurred as strongly as a 32-pixel one enlarged. Settings are those of the
published sets unless a docstring calls them ours.

Everything here is written from the descriptions in the paper and runs on numpy and Pillow. Random
numbers, resampling and borders are ours, so pixels are not those of the published sets, and errors
are comparable only among models measured here.

Source: Hendrycks, Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (arXiv:1903.12261).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, ShapeError, unknown_name
from ...registry import Registry
from ..streams import Stream, generator

Pixels = NDArray[np.float64]  # (H, W, C) in [0, 1]
Setting = tuple[float, ...]

SEVERITIES = (1, 2, 3, 4, 5)
FAMILIES = ("common", "extra", "perspective")
_EDGE = 96  # shorter sides below this are small
_SMALL, _LARGE = 32, 224  # the sides that the settings are made for


@dataclass(frozen=True)
class Canvas:
    """What a corruption may use besides the pixels."""

    rng: np.random.Generator
    """Random numbers of this image and this corruption; the same at every severity."""
    scale: float
    """Pixels of this image for one pixel of the image that the settings are made for."""


Body = Callable[[Pixels, Setting, Canvas], Pixels]


@dataclass(frozen=True)
class Corruption:
    """A registered corruption.

    Args:
        name: its name in `CORRUPTIONS`.
        family: "common" (the paper's 15), "extra" (its 4 for development) or "perspective".
        kind: "noise", "blur", "weather", "digital" or "geometry".
        small, large: settings of severities 1 to 5, for sides of 32 and of 224 pixels.
        body: float64 (H, W, C) in [0, 1], setting, canvas → the same shape, not yet clipped.
        random: whether the seed matters.
        colour: whether it needs three channels.
    """

    name: str
    family: str
    kind: str
    small: tuple[Setting, ...]
    large: tuple[Setting, ...]
    body: Body
    random: bool = False
    colour: bool = False

    def __call__(self, image: NDArray[np.uint8], severity: int, seed: int = 0) -> NDArray[np.uint8]:
        """The corrupted image; arguments and errors as `corrupt`."""
        _check(image, severity, self)
        side = min(image.shape[:2])
        small = side < _EDGE
        setting = (self.small if small else self.large)[severity - 1]
        canvas = Canvas(draws(self.name, seed), max(1.0, side / _SMALL) if small else side / _LARGE)
        out = self.body(image.astype(np.float64) / 255, setting, canvas)
        return np.rint(np.clip(out, 0, 1) * 255).astype(np.uint8)


CORRUPTIONS: Registry[Corruption] = Registry(
    "corruption",
    "rmeeto.corruptions",
    (
        "rmeeto.data.corruptions.noise",
        "rmeeto.data.corruptions.blur",
        "rmeeto.data.corruptions.weather",
        "rmeeto.data.corruptions.frost",
        "rmeeto.data.corruptions.colour",
        "rmeeto.data.corruptions.digital",
        "rmeeto.data.moebius",
    ),
)
"""Name → `Corruption`."""


def corruption(
    kind: str,
    small: Sequence[Setting | float],
    large: Sequence[Setting | float],
    *,
    extra: bool = False,
    random: bool = False,
    colour: bool = False,
) -> Callable[[Body], Body]:
    """Decorator: register a body under its function's name (arguments as `Corruption`).

    Args:
        kind, random, colour: as `Corruption`.
        small, large: five settings each; a bare number is a setting of one.
        extra: one of the four that the paper keeps for development.
    """

    def add(body: Body) -> Body:
        name, family = body.__name__, "extra" if extra else "common"
        little, big = tuple(map(_setting, small)), tuple(map(_setting, large))
        entry = Corruption(name, family, kind, little, big, body, random, colour)
        CORRUPTIONS.add(name, entry)
        return body

    return add


def _setting(value: Setting | float) -> Setting:
    return value if isinstance(value, tuple) else (value,)


def corrupt(image: NDArray[np.uint8], name: str, severity: int, seed: int = 0) -> NDArray[np.uint8]:
    """One image, corrupted.

    Args:
        image: uint8 (H, W, C), C 1 or 3, sides of any length; left as it is.
        name: a name from `CORRUPTIONS`.
        severity: 1 (weak) to 5 (strong).
        seed: any integer; decides everything random. Severities of one seed share their draws.

    Returns:
        uint8 (H, W, C), a new array.

    Raises:
        UnknownNameError: another name. ConfigError: another severity.
        ShapeError: not such an image, or one channel where colours are needed ("saturate").

    Example:
        >>> corrupt(np.full((8, 8, 1), 100, np.uint8), "brightness", 2)[0, 0]
        array([126], dtype=uint8)
    """
    return CORRUPTIONS.get(name)(image, severity, seed)


def corruption_names(family: str = "common", channels: int = 3) -> list[str]:
    """Sorted names of a family's corruptions that images of so many channels can take.

    Args:
        family: "common" (15), "extra" (4) or "perspective" (8).
        channels: 1 leaves out those that need colours.

    Raises:
        UnknownNameError: another family.
    """
    if family not in FAMILIES:
        raise unknown_name("family of corruptions", family, FAMILIES)
    entries = [CORRUPTIONS.get(name) for name in CORRUPTIONS.names()]
    return [e.name for e in entries if e.family == family and (channels > 1 or not e.colour)]


def draws(name: str, seed: int) -> np.random.Generator:
    """Random numbers of one seed for what bears that name; the same at every severity."""
    return generator(int(seed), Stream.CORRUPTION, zlib.crc32(name.encode()))


def check_severity(severity: int) -> None:
    """Raise a `ConfigError` unless ``severity`` is one of `SEVERITIES`."""
    if severity not in SEVERITIES:
        raise ConfigError("a severity from 1 to 5", repr(severity), "1 is weak, 5 is strong")


def _check(image: NDArray[np.uint8], severity: int, entry: Corruption) -> None:
    check_severity(severity)
    good = image.ndim == 3 and image.shape[-1] in (1, 3) and image.size
    if not good or image.dtype != np.uint8:
        raise ShapeError(
            "an image as uint8 (H, W, C) with 1 or 3 channels",
            f"{image.dtype} {image.shape}",
            "store bytes 0..255, channels last",
        )
    if entry.colour and image.shape[-1] == 1:
        raise ShapeError(
            f"{entry.name} of an image",
            "one channel",
            "grey has no colours to change; leave it out (corruption_names(…, channels=1))",
        )
