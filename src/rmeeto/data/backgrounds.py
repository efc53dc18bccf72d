"""Edits of what lies outside the thing that an image shows, where a mask says what the thing is.

They show how much of a model's accuracy hangs on backgrounds. A mask is white where the thing is: a
pixel is foreground where its mean over channels is 128 or more.

Source: Xiao, Engstrom, Ilyas, Mądry, "Noise or signal: the role of image backgrounds in object
recognition" (arXiv:2006.09994); differs in: masks are the user's, five severities, a grey of the
image's own instead of black, noise and blur are ours, and an image that is swapped in keeps the
thing that it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..config import fingerprint
from ..errors import DataError, unknown_name
from .corruptions.base import check_severity, draws
from .corruptions.filters import convolve, gaussian_kernel
from .preprocessing import Preprocessing
from .sources import ImageSource
from .streams import Stream, seeds
from .subsets import Subset

_Values = NDArray[np.float64]  # (H, W, C) or what broadcasts to it, 0 to 255
_Outside = NDArray[np.bool_]  # (H, W), True for background, somewhere at least
_Other = Callable[[np.random.Generator], NDArray[np.uint8]]  # another image, of the same shape
_FOREGROUND = 128
_STRONGEST = 5  # the severity at which nothing of the old background is left


def _grey(values: _Values, outside: _Outside, rng: np.random.Generator, other: _Other) -> _Values:
    """The mean colour of the background, (C,)."""
    return values[outside].mean(0)


def _noise(values: _Values, outside: _Outside, rng: np.random.Generator, other: _Other) -> _Values:
    """Every byte equally likely, each channel by itself."""
    return rng.integers(0, 256, values.shape).astype(np.float64)


def _blur(values: _Values, outside: _Outside, rng: np.random.Generator, other: _Other) -> _Values:
    """A Gaussian of an eighth of the shorter side (of 4 pixels at least), without the thing."""
    flat = _grey(values, outside, rng, other)
    emptied = np.where(outside[..., None], values, flat)  # else the thing would bleed out
    return convolve(emptied, gaussian_kernel(max(4.0, min(outside.shape) / 8)))


def _swap(values: _Values, outside: _Outside, rng: np.random.Generator, other: _Other) -> _Values:
    """Another image, with whatever it shows."""
    return other(rng).astype(np.float64)


_EDITS = {
    "background_grey": _grey,
    "background_noise": _noise,
    "background_blur": _blur,
    "background_swap": _swap,
}
BACKGROUNDS = tuple(_EDITS)
"""Names of the edits."""


class BackgroundEdited:
    """Every image of a source with its background edited and its foreground as it was.

    Args:
        source: images of any size with one or three channels; labels, classes and order stay.
        masks: image i is the mask of image i of ``source``, uint8 (H, W, 1 or 3) of its height and
            width; foreground where the mean over channels is 128 or more. Labels do not matter.
        name: a name from `BACKGROUNDS`. "background_swap" takes another image of ``source``, of
            another class where there is one, its shorter side fitted and its centre cut out.
        severity: s from 1 to 5 mixes the edit in by s/5.
        seed: decides everything random together with the position, whatever the severity.

    Raises:
        UnknownNameError: another name. ConfigError: another severity.
        DataError: more or fewer masks than images; one image only, to swap with itself.
    """

    def __init__(
        self, source: ImageSource, masks: ImageSource, name: str, severity: int, seed: int = 0
    ) -> None:
        check_severity(severity)
        if name not in _EDITS:
            raise unknown_name("edit of backgrounds", name, BACKGROUNDS)
        _check_number(source, masks)
        if name == "background_swap" and len(source) < 2:
            why = "its background comes from another image; give two or more"
            raise DataError("background_swap of some images", f"one, in {source.name}", why)
        self.source, self.masks, self.edit = source, masks, name
        self.severity, self.seed = severity, seed
        self.name = f"{source.name} ({name} {severity})"
        self.classes, self.labels = source.classes, source.labels

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> NDArray[np.uint8]:
        """uint8 (H, W, C), a new array; without any background, a copy.

        Raises:
            DataError: the image or its mask can't be read, or they differ in height or width.
        """
        image = self.source.image(index)
        outside = _outside(image, self.masks, index)
        if not outside.any():
            return image.copy()
        rng = draws(self.edit, int(seeds(self.seed, Stream.CORRUPTION, index)[0]))
        values = image.astype(np.float64)
        edited = _EDITS[self.edit](values, outside, rng, lambda r: self._other(index, image, r))
        mixed = ((_STRONGEST - self.severity) * values + self.severity * edited) / _STRONGEST
        return np.where(outside[..., None], np.rint(mixed).astype(np.uint8), image)

    def _other(
        self, index: int, image: NDArray[np.uint8], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Another image, in the shape of this one; the next one drawn where it can't be read."""
        height, width, channels = image.shape
        count = 3 if channels == 3 else 1
        fit = Preprocessing((height, width), count, (0.0,) * count, (1.0,) * count)
        places = np.flatnonzero(self.labels != self.labels[index])
        if not len(places):
            places = np.delete(np.arange(len(self)), index)
        for place in rng.permutation(places):
            with suppress(DataError):
                return fit.fit(self.source.image(int(place)))
        given = f"{self.source.name}: no other image can be read"
        raise DataError("an image to swap in", given, "replace the files that are damaged")

    def item_name(self, index: int) -> str:
        """What it was made from."""
        return f"{self.edit} {self.severity} of {self.source.item_name(index)}"

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with images, masks, edit, severity and seed."""
        sets = [self.source.fingerprint(), self.masks.fingerprint()]
        return fingerprint([*sets, self.edit, self.severity, self.seed])


def masks_of(part: Subset, masks: ImageSource) -> Subset:
    """The masks of a part of a set, each looked at beside its image, so that no pass fails later.

    Args:
        part: images of a set; those that can't be read are passed over.
        masks: one for each image of the whole set (``part.source``), in its order.

    Returns:
        The masks at ``part.indices``.

    Raises:
        DataError: more or fewer masks than the set has images; a mask of the part that can't be
            read or has another height or width; all of them without foreground, or background.
    """
    _check_number(part.source, masks)
    found, shares = Subset(masks, part.indices), set()
    for index in range(len(part)):
        try:
            image = part.image(index)
        except DataError:  # every pass leaves it out
            continue
        shares.add(float(_outside(image, found, index).mean()))
    if shares in ({0.0}, {1.0}):
        given = f"{masks.name}: nothing but {'white' if shares == {0.0} else 'black'}"
        why = "the thing is white (128 to 255), what lies around it black; 0 and 1 are both black"
        raise DataError("masks with foreground and background", given, why)
    return found


def _check_number(source: ImageSource, masks: ImageSource) -> None:
    if len(masks) != len(source):
        asked = f"a mask for each of the {len(source)} images of {source.name}"
        why = "mask i belongs to image i; give as many, in the same order"
        raise DataError(asked, f"{len(masks)} in {masks.name}", why)


def _outside(image: NDArray[np.uint8], masks: ImageSource, index: int) -> _Outside:
    """(H, W): where the background of an image is."""
    mask = masks.image(index)
    if mask.shape[:2] != image.shape[:2]:
        asked = f"a mask of {image.shape[0]}×{image.shape[1]} pixels, as its image"
        given = f"{mask.shape[0]}×{mask.shape[1]}: {masks.item_name(index)}"
        raise DataError(asked, given, "store masks in the size of the stored images")
    return mask.mean(-1) < _FOREGROUND
