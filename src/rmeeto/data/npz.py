"""NumPy archives: arrays of pixels, or a "JPEG pack" of images that share one header."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .decode import decode_image
from .reading import SOURCES, Reader, missing_split
from .sources import ArraySource, EncodedSource, ImageSource

_STEMS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_PACK = ("header", "scan", "offsets")


@dataclass(frozen=True)
class JpegPack:
    """Baseline JPEG files of one coder and size: the header once, the coded segments in a row."""

    header: bytes
    scan: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def read(self, index: int) -> bytes:
        """Image ``index`` as a complete JPEG file."""
        return self.header + self.scan[self.offsets[index] : self.offsets[index + 1]].tobytes()


def read_npz(path: Path) -> dict[str, NDArray]:
    """All arrays of an archive; objects are refused, so that nothing in it can run."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        why = f"{type(error).__name__}: {error}; write it with np.savez, without objects"
        raise DataError("a NumPy archive (.npz) of plain arrays", str(path), why) from error


def _file(path: Path, split: str) -> Path | None:
    """The file of a split: in a folder by name; beside a file that is itself named by a split."""
    folder = path if path.is_dir() else path.parent
    for stem in _STEMS.get(split, (split,)):
        if (folder / f"{stem}.npz").is_file():
            return folder / f"{stem}.npz"
    return None


def _named_by_split(path: Path) -> bool:
    return path.is_dir() or any(path.stem in stems for stems in _STEMS.values())


def splits(path: Path) -> tuple[str, ...] | None:
    """Splits of a folder of archives, () for one file with a name of its own, None otherwise."""
    if path.is_file() and path.suffix != ".npz":
        return None
    if not _named_by_split(path):
        return ()
    return tuple(split for split in _STEMS if _file(path, split)) or None


def open_npz(path: Path, split: str) -> ImageSource:
    """Open ``<split>.npz`` of a folder, or one file.

    A file named train, val or test stands for its folder, so that asking it for another split
    never returns the same images; a file of another name is one undivided set.
    """
    file = _file(path, split) if _named_by_split(path) else path
    if file is None:
        raise missing_split(path, split, splits(path) or ())
    arrays = read_npz(file)
    name = f"{file.absolute().parent.name}/{file.stem}"
    if "labels" not in arrays or not ("images" in arrays or set(_PACK) <= set(arrays)):
        raise DataError(
            "arrays images and labels (and classes), or header, scan, offsets and labels",
            f"{file} with {', '.join(arrays) or 'no array'}",
            "rename the arrays",
        )
    classes = [str(c) for c in arrays["classes"]] if "classes" in arrays else None
    if "images" in arrays:
        return ArraySource(arrays["images"], arrays["labels"], classes, name)
    return _open_pack(arrays, classes, name)


def _open_pack(arrays: dict[str, NDArray], classes: list[str] | None, name: str) -> EncodedSource:
    offsets, scan = arrays["offsets"].astype(np.int64), arrays["scan"]
    sizes = np.diff(offsets)
    if offsets[0] < 0 or (sizes < 0).any() or offsets[-1] > len(scan):
        raise DataError(
            "increasing offsets into the scan",
            f"{name}: {offsets[0]}..{offsets[-1]}",
            "pack it again",
        )
    pack = JpegPack(arrays["header"].tobytes(), scan, offsets)
    return EncodedSource(pack.read, decode_image, arrays["labels"], classes, name, sizes.tolist())


SOURCES.add("npz", Reader("train.npz, val.npz, test.npz or one .npz file", splits, open_npz))
