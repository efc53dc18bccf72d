"""Images → augmented, normalised inputs; each view depends on its image and its seed alone.

Pillow resizes and recolours image by image, on bytes, as the published recipe does; shift, flip and
erasing run on the batch. Libraries that draw from a global generator could not keep the promise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .augment import Augment
from .preprocessing import FILTERS, Preprocessing, from_pillow, to_pillow
from .randaugment import color_jitter, rand_augment
from .streams import Stream, generator, uniforms

_ATTEMPTS = 10  # tries for a rectangle that fits; the published number for crops and for erasing


def make_views(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    preprocessing: Preprocessing,
    augment: Augment,
    view_seeds: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Augment a batch.

    Args:
        images: stored images, one array (B, H, W, C) or a list of (H, W, C).
        preprocessing: size, channels and normalisation of the result.
        augment: what happens.
        view_seeds: (B,) one seed a view.

    Returns:
        float32 (B, C, h, w).
    """
    batch = _cropped(images, preprocessing, augment, view_seeds)
    batch = _shift_and_flip(batch, augment, view_seeds)
    batch = _recolour(batch, preprocessing, augment, view_seeds)
    out = preprocessing.normalise(batch)
    if augment.erasing:
        _erase(out, augment.erasing, view_seeds)
    return out


def _cropped(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    preprocessing: Preprocessing,
    augment: Augment,
    view_seeds: NDArray[np.int64],
) -> NDArray[np.uint8]:
    if augment.crop == "rrc":
        pairs = zip(images, view_seeds.tolist(), strict=True)
        return np.stack([_resized_crop(x, preprocessing, augment, seed) for x, seed in pairs])
    return fit_batch(images, preprocessing)


def fit_batch(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """The evaluation's resize and crop of every image: uint8 (B, h, w, C), a view if all fit."""
    if isinstance(images, np.ndarray) and preprocessing.fits(images.shape[1:]):
        return images
    return np.stack([preprocessing.fit(image) for image in images])


def _resized_crop(
    image: NDArray[np.uint8], preprocessing: Preprocessing, augment: Augment, seed: int
) -> NDArray[np.uint8]:
    """A random rectangle of the image, resized to the input.

    Source: Szegedy et al., "Going deeper with convolutions" (arXiv:1409.4842), Sec. 6.
    """
    picture, (h, w) = preprocessing.convert(image), preprocessing.size
    top, left, height, width = _crop_box(picture.height, picture.width, augment, seed)
    # not resize(box=…), which also looks at pixels around the box
    window = picture.crop((left, top, left + width, top + height))
    return from_pillow(window.resize((w, h), FILTERS[preprocessing.interpolation]))


def _crop_box(height: int, width: int, augment: Augment, seed: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop with random area and aspect; the centre if none fits."""
    rng, area = generator(seed, Stream.CROP), height * width
    low, high = math.log(augment.ratio[0]), math.log(augment.ratio[1])
    for _ in range(_ATTEMPTS):
        target, ratio = area * rng.uniform(*augment.scale), math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    ratio = min(max(width / height, augment.ratio[0]), augment.ratio[1])
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (height - h) // 2, (width - w) // 2, h, w


def _shift_and_flip(
    batch: NDArray[np.uint8], augment: Augment, view_seeds: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Random crop out of a zero border and random left-right flip, one gather for the batch."""
    count, height, width, _ = batch.shape
    if not augment.pad and not augment.hflip:
        return batch
    pad = augment.pad
    shift = (uniforms(view_seeds, Stream.CROP, 2) * (2 * pad + 1)).astype(np.intp)
    flip = uniforms(view_seeds, Stream.FLIP, 1) < augment.hflip
    columns = np.where(flip, np.arange(width)[::-1], np.arange(width)) + shift[:, 1:]
    rows = np.arange(height) + shift[:, :1]
    if pad:
        batch = np.pad(batch, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return batch[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _recolour(
    batch: NDArray[np.uint8],
    preprocessing: Preprocessing,
    augment: Augment,
    view_seeds: NDArray[np.int64],
) -> NDArray[np.uint8]:
    if augment.randaugment is None and not augment.color_jitter:
        return batch
    out = np.empty_like(batch)
    filter_, fill = FILTERS[preprocessing.interpolation], preprocessing.fill
    for i, seed in enumerate(view_seeds.tolist()):
        rng, picture = generator(seed, Stream.POLICY), to_pillow(batch[i])
        if augment.randaugment is not None:
            picture = rand_augment(picture, augment.randaugment, rng, filter_, fill)
        else:
            picture = color_jitter(picture, augment.color_jitter, rng)
        out[i] = from_pillow(picture)
    return out


def _erase(batch: NDArray[np.float32], prob: float, view_seeds: NDArray[np.int64]) -> None:
    """Fill a random rectangle of some images with normal noise, in place.

    Source: Zhong et al., "Random erasing data augmentation" (arXiv:1708.04896), Alg. 1; differs
    in: aspect drawn on a log scale, noise of a value a pixel, as in the recipe.
    """
    _, channels, height, width = batch.shape
    for i in np.flatnonzero(uniforms(view_seeds, Stream.ERASE, 1)[:, 0] < prob):
        rng = generator(int(view_seeds[i]), Stream.ERASE)
        for _ in range(_ATTEMPTS):
            area = rng.uniform(0.02, 1 / 3) * height * width
            aspect = math.exp(rng.uniform(math.log(0.3), -math.log(0.3)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < h < height and 0 < w < width:
                top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
                noise = rng.standard_normal((channels, h, w), np.float32)
                batch[i, :, top : top + h, left : left + w] = noise
                break
