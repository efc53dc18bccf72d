"""Outliers made from ID images: for smoke tests, and where no auxiliary images are at hand.

These are substitutes. They teach a model about broken versions of its own images, not about other
objects; what they are worth against real outliers has to be measured, and results made with them
must say so. An outlier depends on its image and its seed (and `blend` on the partner it is given),
never on its place in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import fingerprint
from ..errors import ShapeError, unknown_name
from .streams import Stream, generator

if TYPE_CHECKING:
    from torch import Tensor

    from .sources import ImageSource


def jigsaw(images: Tensor, seeds: Sequence[int], grid: int = 4) -> Tensor:
    """Tiles of each image in another order: its colours and textures without its shape.

    Args:
        images: (B, C, H, W), any type and scale; H and W multiples of ``grid``.
        seeds: (B,) integers, one for each image.
        grid: tiles along a side, ≥ 2.

    Returns:
        (B, C, H, W) like ``images``; at least one tile of each image has moved.

    Raises:
        ShapeError: a grid that does not divide the image, or seeds that don't fit.
    """
    _check(images, seeds)
    height, width = images.shape[-2:]
    if grid < 2 or height % grid or width % grid:
        raise ShapeError(
            f"an image of {grid} × {grid} tiles",
            f"{height} × {width} pixels",
            "choose a grid of 2 or more that divides both sides",
        )
    rows, columns = height // grid, width // grid
    tiles = images.unflatten(-1, (grid, columns)).unflatten(-3, (grid, rows))
    tiles = tiles.movedim(-2, -3).flatten(2, 3)  # (B, C, grid², rows, columns)
    order = np.stack([_moved(generator(int(s), Stream.OUTLIER), grid * grid) for s in seeds])
    picks = _as_tensor(order, images)[:, None, :, None, None].expand_as(tiles)
    mixed = tiles.gather(2, picks).unflatten(2, (grid, grid)).movedim(-3, -2)
    return mixed.flatten(-2, -1).flatten(-3, -2)


def blend(images: Tensor, partners: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each image faded with a partner, about half of each: two objects at once.

    Args:
        images: (B, C, H, W), floating.
        partners: (B, C, H, W), best of other classes.
        seeds: (B,) integers; each decides a share, uniform in [0.35, 0.65].

    Raises:
        ShapeError: shapes or seeds that don't fit.
    """
    _check(images, seeds)
    if partners.shape != images.shape:
        raise ShapeError(
            "one partner for each image",
            f"images {tuple(images.shape)}, partners {tuple(partners.shape)}",
            "give as many images of the same size",
        )
    shares = [generator(int(s), Stream.OUTLIER).uniform(0.35, 0.65) for s in seeds]
    share = _as_tensor(np.array(shares), images)[:, None, None, None].to(images.dtype)
    return images * share + partners * (1 - share)


def noise(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Gaussian noise with each image's mean and spread in every channel.

    Args:
        images: (B, C, H, W), floating, of any scale.
        seeds: (B,) integers.

    Returns:
        (B, C, H, W); not clipped.
    """
    return _like(images, _white(images, seeds))


def fractal(images: Tensor, seeds: Sequence[int], exponent: float = 1.0) -> Tensor:
    """Noise whose amplitude falls as ``1/f^exponent``, with each image's mean and spread.

    Args:
        images: (B, C, H, W), floating, of any scale.
        seeds: (B,) integers.
        exponent: 0 is white noise, 1 the spectrum of photographs, 2 soft clouds.

    Returns:
        (B, C, H, W); not clipped, channels independent of one another.

    Source: the 1/f law of natural images, Field 1987, "Relations between the statistics of natural
    images and the response properties of cortical cells".
    """
    white = _white(images, seeds)
    height, width = white.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0  # the mean is replaced by the image's anyway
    spectrum = np.fft.rfft2(white) / frequency**exponent
    return _like(images, np.fft.irfft2(spectrum, s=(height, width)))


def _blend_neighbours(images: Tensor, seeds: Sequence[int]) -> Tensor:
    if len(images) == 1:
        why = "an image blended with itself is no outlier; give two or more, or call `blend`"
        raise ShapeError("a blend of the images of a batch", "one image", why)
    return blend(images, images.roll(1, 0), seeds)


ID_OUTLIERS: dict[str, Callable[[Tensor, Sequence[int]], Tensor]] = {
    "jigsaw": jigsaw,
    "blend": _blend_neighbours,
    "noise": noise,
    "fractal": fractal,
}
"""Kinds of outliers by name; "blend" takes the image before as the partner."""


def id_outliers(images: Tensor, seeds: Sequence[int], kind: str = "jigsaw") -> Tensor:
    """Outliers made from ID images by the named kind (see `ID_OUTLIERS`).

    Args:
        images: (B, C, H, W), floating.
        seeds: (B,) integers, one for each image.
        kind: "jigsaw", "blend", "noise" or "fractal".

    Raises:
        UnknownNameError: another kind. ShapeError: what the kind raises.

    Example:
        >>> import torch
        >>> id_outliers(torch.zeros(2, 3, 8, 8), [1, 2], "jigsaw").shape
        torch.Size([2, 3, 8, 8])
    """
    if kind not in ID_OUTLIERS:
        raise unknown_name("kind of ID-derived outlier", kind, ID_OUTLIERS)
    return ID_OUTLIERS[kind](images, seeds)


def _moved(rng: np.random.Generator, count: int) -> np.ndarray:
    """A permutation of ``count`` things that is not the identity."""
    order = rng.permutation(count)
    return np.roll(order, 1) if (order == np.arange(count)).all() else order


def _white(images: Tensor, seeds: Sequence[int]) -> np.ndarray:
    _check(images, seeds)
    shape = tuple(images.shape[1:])
    return np.stack([generator(int(s), Stream.OUTLIER).standard_normal(shape) for s in seeds])


def _like(images: Tensor, values: np.ndarray) -> Tensor:
    """``values`` with the mean and spread of every channel of every image."""
    drawn = _as_tensor(values, images).to(images.dtype)
    drawn = drawn - drawn.mean((-2, -1), keepdim=True)
    drawn = drawn / drawn.std((-2, -1), keepdim=True, correction=0).clamp(min=1e-8)
    spread = images.std((-2, -1), keepdim=True, correction=0)
    return drawn * spread + images.mean((-2, -1), keepdim=True)


def _as_tensor(values: np.ndarray, like: Tensor) -> Tensor:
    import torch  # only here: importing the module needs none of it

    return torch.from_numpy(values).to(like.device)


def _check(images: Tensor, seeds: Sequence[int]) -> None:
    if images.ndim != 4 or not len(images) or len(seeds) != len(images):
        raise ShapeError(
            "images (B, C, H, W) with one seed each",
            f"{tuple(images.shape)} and {len(seeds)} seeds",
            "give a batch of at least one image and as many seeds",
        )


class DerivedOutliers:
    """Outliers made from the images of a source, one from each: jigsaws, blends and 1/f noise in turn.

    A source like any other, whose images are made when they are read.

    Args:
        source: ID images of any size; a blend needs a partner of the same size, else it is a jigsaw.
        seed: decides every image, together with its position.
    """

    kinds = ("jigsaw", "blend", "fractal")

    def __init__(self, source: ImageSource, seed: int = 0) -> None:
        self.source, self.seed = source, seed
        self.name = f"outliers made from {source.name} ({', '.join(self.kinds)})"
        self.classes, self.labels = ["outlier"], np.zeros(len(source), np.int64)

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> np.ndarray:
        """uint8 (H, W, C); raises `DataError` where the image behind it is corrupt."""
        import torch  # only here: importing the module needs none of it

        image, kind = self.source.image(index), self.kinds[index % len(self.kinds)]
        parts = [image]
        if kind == "blend":
            parts.append(self.source.image((index + len(self) // 2) % len(self)))
        same = all(part.shape == image.shape for part in parts)
        kind = kind if same else "jigsaw"
        pixels = (
            torch.from_numpy(np.stack(parts if same else parts[:1])).permute(0, 3, 1, 2).float()
        )
        if kind == "jigsaw":  # whole tiles only
            pixels = pixels[..., : pixels.shape[2] // 4 * 4, : pixels.shape[3] // 4 * 4]
        seed = generator(self.seed, Stream.OUTLIER, index).integers(2**31)
        made = id_outliers(pixels, [int(seed)] * len(pixels), kind)[0]
        return made.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()

    def item_name(self, index: int) -> str:
        """What it was made from."""
        return f"{self.kinds[index % len(self.kinds)]} of {self.source.item_name(index)}"

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the images, the seed and the kinds."""
        return fingerprint([self.source.fingerprint(), self.seed, self.kinds])
