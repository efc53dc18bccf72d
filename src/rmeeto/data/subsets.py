"""Parts of a source: validation splits, class-balanced fractions, and the whole of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, DataError
from .sources import ArraySource, ImageSource, content_fingerprint
from .streams import Stream, generator

_CACHE_BYTES = 2 << 30
S = TypeVar("S", bound=ImageSource)


class Subset:
    """Some images of a source, in the order of ``indices`` (positions in the source)."""

    def __init__(self, source: ImageSource, indices: ArrayLike, name: str | None = None) -> None:
        positions = np.asarray(indices, np.int64)
        if positions.ndim != 1 or not len(positions):
            raise DataError(
                "a part with images", f"no index into {source.name}", "take one or more"
            )
        if positions.min() < 0 or positions.max() >= len(source):
            raise DataError(
                f"indices in 0..{len(source) - 1} of {source.name}",
                f"{positions.min()}..{positions.max()}",
                "indices are positions in the source",
            )
        if isinstance(source, Subset):  # one step to the base, however often a part is parted
            positions, source = source.indices[positions], source.source
        self.source, self.indices = source, positions
        self.name = name or source.name
        self.classes, self.labels = source.classes, source.labels[positions]

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image ``index`` of the part."""
        return self.source.image(int(self.indices[index]))

    def item_name(self, index: int) -> str:
        """Its name in the whole source."""
        return self.source.item_name(int(self.indices[index]))

    def fingerprint(self) -> str:
        """Sixteen hex digits over the source's fingerprint and the indices."""
        return content_fingerprint(self.labels, self.indices, [self.source.fingerprint().encode()])


def split_validation(
    source: ImageSource, size: int | float, seed: int = 0
) -> tuple[Subset, Subset]:
    """Split off a validation part in which every class has its share.

    Args:
        source: what to split.
        size: images (int) or share in (0, 1) (float) of the validation part.
        seed: picks the images.

    Returns:
        (train, validation), disjoint, together the whole source, each in the source's order.
    """
    count = _count(source, size)
    if count >= len(source):
        raise ConfigError(
            f"a validation part smaller than the {len(source)} images of {source.name}",
            str(size),
            "leave images to train on",
        )
    rank, total = _rank_within_class(source.labels, seed)
    picked = np.lexsort((source.labels, (rank + 0.5) / total))[:count]
    held_out = np.zeros(len(source), bool)
    held_out[picked] = True
    return (
        Subset(source, np.flatnonzero(~held_out), f"{source.name} (without validation)"),
        Subset(source, np.flatnonzero(held_out), f"{source.name} (validation part)"),
    )


def hold_out_last(source: ImageSource, count: int) -> tuple[Subset, Subset]:
    """Split the last ``count`` images of the source's order off: (train, validation)."""
    _count(source, count)
    edge = len(source) - count
    if edge < 1:
        raise ConfigError(
            f"fewer than the {len(source)} images of {source.name}",
            str(count),
            "leave some to train on",
        )
    return (
        Subset(source, np.arange(edge), f"{source.name}[:{edge}]"),
        Subset(source, np.arange(edge, len(source)), f"{source.name}[{edge}:]"),
    )


def take(source: ImageSource, size: int | float, seed: int = 0) -> Subset:
    """A class-balanced part: equally many images a class, as long as the class has them.

    Parts of one seed are nested: a larger one holds every smaller one. Apply it to the training
    images only, after `split_validation`; evaluation sets stay whole.

    Args:
        source: what to take from.
        size: images (int) or share in (0, 1] (float).
        seed: picks the images.
    """
    rank, _ = _rank_within_class(source.labels, seed)
    picked = np.lexsort((source.labels, rank))[: _count(source, size)]
    return Subset(source, np.sort(picked), f"{source.name} ({len(picked)} images)")


def of_classes(source: ImageSource, classes: Sequence[str], name: str) -> ArraySource:
    """The images of some classes, which are numbered anew in the order given.

    Args:
        source: images of one size; decoded if they are not in memory.
        classes: names, each a class of ``source``.
        name: of the part.

    Raises:
        DataError: a class that the source does not have, or images that can't be held in memory.
    """
    unknown = [c for c in classes if c not in source.classes]
    if unknown or not classes:
        given = f"{', '.join(unknown) or 'none'}, of {', '.join(source.classes)}"
        raise DataError(f"classes of {source.name}", given, "names are compared letter by letter")
    held = pixels(cache(source))
    if held is None:
        given = f"{source.name}, of several sizes, too large or partly corrupt"
        raise DataError("images that fit into one array", given, "take the classes from a copy of one size")
    new = np.full(len(source.classes), -1)
    new[[source.classes.index(c) for c in classes]] = np.arange(len(classes))
    labels = new[source.labels]
    kept = np.flatnonzero(labels >= 0)
    images, positions = held
    return ArraySource(images[kept if positions is None else positions[kept]], labels[kept], classes, name)


def _count(source: ImageSource, size: int | float) -> int:
    share = isinstance(size, float)
    count = round(size * len(source)) if share else int(size)
    if not 1 <= count <= len(source) or (share and size > 1):
        raise ConfigError(
            f"1 to {len(source)} images of {source.name}, or a share of them",
            repr(size),
            "give an int for images or a float up to 1 for a share",
        )
    return count


def _rank_within_class(labels: NDArray[np.int64], seed: int) -> tuple[NDArray, NDArray]:
    """Each image's place in a seeded shuffle of its class, and the size of that class."""
    shuffled = generator(seed, Stream.SPLIT).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.arange(len(labels)) - starts
    return rank, counts[labels]


def cache(
    source: ImageSource,
    limit_bytes: int = _CACHE_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> ImageSource:
    """Decode a source into one uint8 array, where its images have one size and fit in memory.

    Args:
        source: what to decode; returned as it is where sizes differ or the limit is passed.
        limit_bytes: most bytes the array may take.
        progress: called with (images done, images in all).

    Returns:
        A source of equal content and fingerprint; corrupt images stay corrupt.
    """
    if pixels(source) is not None:
        return source
    out: NDArray[np.uint8] | None = None
    broken: dict[int, DataError] = {}
    for index in range(len(source)):
        try:
            image = source.image(index)
        except DataError as error:
            broken[index] = error
            continue
        if out is None:
            if image.size * len(source) > limit_bytes:
                return source
            out = np.zeros((len(source), *image.shape), np.uint8)
        if image.shape != out.shape[1:]:
            return source
        out[index] = image
        if progress is not None:
            progress(index + 1, len(source))
    if out is None:
        return source
    return ArraySource(
        out, source.labels, source.classes, source.name, source.fingerprint(), broken
    )


def pixels(source: ImageSource) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None] | None:
    """The array behind a source and its positions in it (None = all), where nothing is broken."""
    if isinstance(source, ArraySource):
        return None if source.broken else (source.images, None)
    if isinstance(source, Subset) and isinstance(source.source, ArraySource):
        return None if source.source.broken else (source.source.images, source.indices)
    return None
