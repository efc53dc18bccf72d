"""Pictures of which patches became which token, from plain arrays."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from ..errors import DataError
from .record import MergePicture, MergeView

DROPPED = -1
_HATCH = ((24, 26, 30), (70, 74, 82))


def patch_sources(source: ArrayLike, patch_slots: ArrayLike) -> np.ndarray:
    """Slot of each patch from a source map over all start slots, wherever class tokens stand.

    Args:
        source: (P,) start slot → current slot or −1.
        patch_slots: (gh·gw,) start slot of each patch in raster order (``Backbone.patch_slots``).

    Returns:
        (gh·gw,) int64 current slot of each patch, −1 where it was dropped.
    """
    source, slots = np.asarray(source, np.int64), np.asarray(patch_slots, np.int64)
    if slots.size and not 0 <= slots.min() <= slots.max() < source.size:
        given = f"slots {slots.min()} to {slots.max()} of {source.size}"
        raise DataError("the patches of a source map", given, "pass the same model's patch_slots()")
    return source[slots]


def merge_picture(
    title: str,
    image: np.ndarray,
    grid: tuple[int, int],
    sources: Mapping[str, ArrayLike],
    caption: str | None = None,
) -> MergePicture:
    """Pack an image and its source maps into a record.

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        grid: patches down and across.
        sources: label ("after block 12") → (gh·gw,) slot of each patch, −1 = dropped.
    """
    slots = {label: np.asarray(source).ravel().tolist() for label, source in sources.items()}
    views = tuple(MergeView(label, tuple(source)) for label, source in slots.items())
    packed = base64.b64encode(png(_rgb(image))).decode()
    return MergePicture(title, packed, tuple(grid), views, caption)


def draw_merged(
    image: np.ndarray, source: ArrayLike, grid: tuple[int, int], width: int = 280
) -> np.ndarray:
    """The image as its tokens see it: each merged group in its mean colour, groups outlined.

    Patches that stand alone keep their pixels; dropped ones are hatched.

    Args:
        image: uint8 (H, W[, 1|3]).
        source: (gh·gw,) slot of each patch, −1 = dropped; any integers, equal = same token.
        grid: patches down and across.
        width: about how wide the picture gets, px; a patch is at least 6 px.

    Returns:
        uint8 (gh·cell, gw·cell, 3).
    """
    cell = max(6, round(width / grid[1]))
    picture = upscale(image, grid, cell).copy()
    slots = np.asarray(source, np.int64).reshape(grid)
    _fill_groups(picture, slots, cell)
    dropped = _cells(slots == DROPPED, cell)
    picture[dropped] = _hatch(picture.shape[:2])[dropped]
    _draw_boundaries(picture, slots, cell)
    return picture


def upscale(image: np.ndarray, grid: tuple[int, int], cell: int) -> np.ndarray:
    """The image as RGB at ``cell`` px a patch; small images keep their pixels visible."""
    height, width = grid[0] * cell, grid[1] * cell
    how = Image.Resampling.NEAREST if max(image.shape[:2]) <= 64 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(_rgb(image)).resize((width, height), how))


def token_sizes(source: ArrayLike) -> np.ndarray:
    """Patches in each token that still holds any, largest first."""
    slots = np.asarray(source)
    return np.sort(np.unique(slots[slots != DROPPED], return_counts=True)[1])[::-1]


def png(image: np.ndarray) -> bytes:
    """The picture as PNG, as small as Pillow makes it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode(packed: str) -> np.ndarray:
    """The pixels of a record's picture, uint8 (H, W, 3)."""
    try:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))).convert("RGB"))
    except (OSError, ValueError) as e:
        raise DataError("a picture in a run record", str(e), "make the record again") from e


def _rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    plane = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    if plane.dtype != np.uint8 or plane.ndim not in (2, 3) or plane.shape[2:] not in ((), (3,)):
        given = f"{image.dtype} of shape {image.shape}"
        raise DataError("an image, uint8 (H, W[, 1 or 3])", given, "undo the normalisation first")
    return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, -1)


def _cells(mask: np.ndarray, cell: int) -> np.ndarray:
    return mask.repeat(cell, 0).repeat(cell, 1)


def _fill_groups(picture: np.ndarray, slots: np.ndarray, cell: int) -> None:
    """Paint every token of two patches or more in the mean colour of all its patches."""
    _, index, counts = np.unique(slots, return_inverse=True, return_counts=True)
    flat = _cells(index.reshape(slots.shape), cell).ravel()
    sums = [np.bincount(flat, picture[..., c].ravel(), counts.size) for c in range(3)]
    means = np.stack(sums, -1) / (counts[:, None] * cell * cell)
    merged = (counts > 1)[flat].reshape(picture.shape[:2])
    picture[merged] = np.rint(means[flat]).astype(np.uint8).reshape(picture.shape)[merged]


def _hatch(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.array(_HATCH, np.uint8)[((rows + columns) % 6 < 2).astype(int)]


def _draw_boundaries(picture: np.ndarray, slots: np.ndarray, cell: int) -> None:
    """Lines around merged and dropped regions: a darker shade of what they cross, or a lighter."""
    _, index, counts = np.unique(slots, return_inverse=True, return_counts=True)
    alone = (counts[index] == 1).reshape(slots.shape) & (slots != DROPPED)
    thick = max(1, cell // 12)
    for axis in (0, 1):
        before, after = np.roll(slots, 1, axis), np.roll(alone, 1, axis)
        edge = (slots != before) & ~(alone & after)
        edge[(slice(None),) * axis + (0,)] = False  # the roll wraps around there
        near = np.arange(slots.shape[axis] * cell) % cell < thick
        line = _cells(edge, cell) & np.expand_dims(near, 1 - axis)
        crossed = picture[line].astype(float)
        night = crossed.mean(-1, keepdims=True) < 72
        picture[line] = np.where(night, crossed + 0.4 * (255 - crossed), 0.4 * crossed)
