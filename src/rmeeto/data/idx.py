"""IDX files: the format of MNIST and its relatives, gzip-compressed or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .reading import SOURCES, Reader, class_names, missing_split
from .sources import ArraySource

_STEMS = {"train": ("train",), "val": ("val", "validation"), "test": ("t10k", "test")}


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file.

    Args:
        path: a file, gzip-compressed if its name ends in ``.gz``.

    Raises:
        DataError: not an IDX file of bytes, or cut short.

    Source: Y. LeCun, "The MNIST database", section on file formats.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise _bad(path, f"{type(error).__name__}: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise _bad(path, f"starts with {raw[:4].hex() or 'nothing'}, not 000008xx (unsigned bytes)")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise _bad(path, f"{len(raw)} bytes where {shape} needs {start + math.prod(shape)}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _bad(path: Path, what: str) -> DataError:
    return DataError("a whole IDX file", f"{path}: {what}", "download the file again")


def _file(folder: Path, split: str, kind: str) -> Path | None:
    dims = {"images": 3, "labels": 1}[kind]
    for stem in _STEMS.get(split, (split,)):
        for separator in "-.":
            for suffix in ("", ".gz"):
                path = folder / f"{stem}-{kind}{separator}idx{dims}-ubyte{suffix}"
                if path.is_file():
                    return path
    return None


def splits(path: Path) -> tuple[str, ...] | None:
    """The splits whose image file lies in the folder, or None without any."""
    return tuple(s for s in _STEMS if path.is_dir() and _file(path, s, "images")) or None


def open_idx(path: Path, split: str) -> ArraySource:
    """Open one split of a folder of IDX files; names come from an optional ``classes.txt``."""
    files = [_file(path, split, kind) for kind in ("images", "labels")]
    if files[0] is None:
        raise missing_split(path, split, splits(path) or ())
    if files[1] is None:
        raise DataError(
            f"the labels of {files[0].name}",
            f"{path} without them",
            "put the labels file beside it",
        )
    images, labels = read_idx(files[0]), read_idx(files[1])
    if images.ndim != 3:
        raise _bad(files[0], f"{images.ndim} axes where images have 3")
    return ArraySource(images, labels, class_names(path / "classes.txt"), f"{path.name}/{split}")


SOURCES.add(
    "idx", Reader("train-images-idx3-ubyte[.gz] and the like (MNIST family)", splits, open_idx)
)
