"""What an image set is: labelled uint8 images in a fixed order, in memory or decoded on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

_SAMPLED_IMAGES = 64  # how many images' bytes go into a fingerprint


@runtime_checkable
class ImageSource(Protocol):
    """Labelled images in a fixed order."""

    name: str
    classes: list[str]
    labels: NDArray[np.int64]

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image ``index`` as uint8 (H, W, 3) or (H, W, 1); raises `DataError` if it is corrupt."""
        ...

    def item_name(self, index: int) -> str:
        """What a person finds image ``index`` by."""
        ...

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the content."""
        ...


class ArraySource:
    """Images of one size in one uint8 array.

    Args:
        images: uint8 (n, H, W) or (n, H, W, C) with C 1 or 3.
        labels: (n,) integers in 0..K−1.
        classes: K names; None = "0", "1", ….
        name: shown in messages and records.
        identity: fingerprint to report, where the array was decoded from another source.
        broken: positions whose image could not be decoded, with the reason.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: ArrayLike,
        classes: Sequence[str] | None = None,
        name: str = "array",
        identity: str | None = None,
        broken: dict[int, DataError] | None = None,
    ) -> None:
        self.images = images[..., None] if images.ndim == 3 else images
        self.name, self.broken, self._identity = name, dict(broken or {}), identity
        _check_images(self.images, name)
        self.labels, self.classes = check_labels(labels, len(images), classes, name)

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image ``index``; raises `DataError` for a broken one."""
        if index in self.broken:
            raise self.broken[index]
        return self.images[index]

    def item_name(self, index: int) -> str:
        """The set's name and the position."""
        return f"{self.name}[{index}]"

    def fingerprint(self) -> str:
        """Sixteen hex digits over labels, shape and a sample of the images."""
        if self._identity is None:
            picked = (self.images[i].tobytes() for i in sample_positions(len(self)))
            self._identity = content_fingerprint(self.labels, self.images.shape, picked)
        return self._identity


class EncodedSource:
    """Images kept as files or bytes and decoded one at a time.

    Args:
        read: position → encoded bytes.
        decode: encoded bytes → uint8 (H, W, C); any exception counts as a corrupt image.
        labels: (n,) integers in 0..K−1.
        classes: K names.
        name: shown in messages and records.
        sizes: (n,) encoded bytes of each image.
        item_names: what a person finds each image by; None = name and position.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        decode: Callable[[bytes], NDArray[np.uint8]],
        labels: ArrayLike,
        classes: Sequence[str] | None,
        name: str,
        sizes: Sequence[int],
        item_names: Sequence[str] | None = None,
    ) -> None:
        self._read, self._decode, self.name = read, decode, name
        self._sizes, self._item_names = np.asarray(sizes, np.int64), item_names
        self._identity: str | None = None
        self.labels, self.classes = check_labels(labels, len(self._sizes), classes, name)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode image ``index``; raises `DataError` if it is corrupt."""
        try:
            return self._decode(self._read(int(index)))
        except Exception as error:  # image decoders raise anything on damaged bytes
            why = f"{type(error).__name__}: {error}; replace the file or delete it"
            raise DataError("to decode an image", self.item_name(index), why) from error

    def item_name(self, index: int) -> str:
        """The file's path, or the set's name and the position."""
        if self._item_names is None:
            return f"{self.name}[{index}]"
        return str(self._item_names[index])

    def fingerprint(self) -> str:
        """Sixteen hex digits over labels, encoded sizes and a sample of the encoded bytes."""
        if self._identity is None:
            picked = (self._readable(i) for i in sample_positions(len(self)))
            self._identity = content_fingerprint(self.labels, self._sizes, picked)
        return self._identity

    def _readable(self, index: int) -> bytes:
        try:
            return self._read(index)
        except OSError:
            return b""


def check_labels(
    labels: ArrayLike, count: int, classes: Sequence[str] | None, name: str
) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as int64 and class names, or a `DataError` that says what does not fit."""
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != count or (count and array.dtype.kind not in "iu"):
        raise DataError(
            f"one integer label for each of {count} images",
            f"{array.dtype} {array.shape} in {name}",
            "images and labels must come from the same split",
        )
    if not count:
        raise DataError("a set with images", f"{name}: no image", "check the path and the split")
    array = array.astype(np.int64)
    names = list(map(str, range(int(array.max()) + 1) if classes is None else classes))
    if array.min() < 0 or array.max() >= len(names):
        raise DataError(
            f"labels in 0..{len(names) - 1} for {len(names)} classes",
            f"{array.min()}..{array.max()} in {name}",
            "list every class name, in the order of the labels",
        )
    return array, names


def _check_images(images: NDArray, name: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            "images as uint8 (n, H, W) or (n, H, W, C) with 1 or 3 channels",
            f"{images.dtype} {images.shape} in {name}",
            "store bytes 0..255, channels last",
        )


def sample_positions(count: int) -> list[int]:
    """Up to 64 evenly spaced positions, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, _SAMPLED_IMAGES)).astype(int).tolist()))


def content_fingerprint(labels: ArrayLike, sizes: ArrayLike, sample: Iterable[bytes]) -> str:
    """Sixteen hex digits over labels, sizes and sampled bytes; names and places do not matter."""
    digest = hashlib.sha256()
    for numbers in (labels, sizes):
        digest.update(np.asarray(numbers, "<i8").tobytes() + b"|")
    for data in sample:
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()[:16]
