"""CIFAR-10 and CIFAR-100 as published: pickled or binary batches, extracted or in their archive.

The pickled batches are read without running anything from them: an unpickler that knows four
names builds plain records, and only bytes and shapes are taken from those.
"""

from __future__ import annotations

import io
import math
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .reading import SOURCES, Reader, missing_split
from .sources import ArraySource

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary")
_ARCHIVES = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True)
class _Layout:
    """Where one of the four published forms keeps its splits and names."""

    splits: dict[str, tuple[str, ...]]
    names: str
    read: Callable[[bytes], tuple[NDArray[np.uint8], NDArray[np.int64]]]
    read_names: Callable[[bytes], list[str]]


class _Unpickler(pickle.Unpickler):
    """Knows NumPy arrays of bytes, as records of our own; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image set needs")
        return known


class _Array:
    """What a pickled array says of itself."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple = ()
        self.dtype: Any = None
        self.data: Any = b""

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, self.dtype, fortran, self.data = state
        if fortran:
            raise pickle.UnpicklingError("the array is not in row order")

    def to_bytes(self) -> NDArray[np.uint8]:
        """The array itself, if it holds unsigned bytes and is whole."""
        kind = getattr(self.dtype, "kind", None)
        if kind not in ("u1", b"u1") or not isinstance(self.data, bytes):
            raise pickle.UnpicklingError(f"the array is not of unsigned bytes but {kind}")
        if len(self.data) != math.prod(self.shape):
            raise pickle.UnpicklingError(f"{len(self.data)} bytes for shape {self.shape}")
        return np.frombuffer(self.data, np.uint8).reshape(self.shape)


class _Kind:
    """What a pickled number type says of itself."""

    def __init__(self, kind: Any, *_: Any) -> None:
        self.kind = kind

    def __setstate__(self, _: tuple) -> None:
        """Byte order and the like do not matter for bytes."""


class _Bytes:
    """Bytes that an older protocol stores as text; a class, because a pickle can set a function's
    attributes, and state for a class with ``__setstate__`` is an error."""

    def __new__(cls, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError(f"bytes stored as {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, _: tuple) -> None:
        """Never called with an instance."""


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _Bytes,
}


def read_pickle(data: bytes) -> dict[bytes, Any]:
    """A pickled dictionary of numbers, text, lists and byte arrays; keys as bytes.

    Raises:
        pickle.UnpicklingError: it names anything else, or is no such dictionary.
    """
    values = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    if not isinstance(values, dict):
        raise pickle.UnpicklingError(f"a {type(values).__name__} instead of a dictionary")
    return {key.encode() if isinstance(key, str) else key: value for key, value in values.items()}


def _pickled_batch(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    values = read_pickle(data)
    labels = values.get(b"labels", values.get(b"fine_labels"))
    array = values.get(b"data")
    if not isinstance(array, _Array) or labels is None:
        raise pickle.UnpicklingError("no entries data and labels")
    return array.to_bytes(), np.array([int(label) for label in labels], np.int64)


def _pickled_names(data: bytes) -> list[str]:
    values = read_pickle(data)
    names = values.get(b"label_names", values.get(b"fine_label_names", []))
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _binary_batch(data: bytes, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Rows of label bytes (CIFAR-100: coarse, fine) and 3,072 pixels."""
    row = label_bytes + _PIXELS
    if not data or len(data) % row:
        raise ValueError(f"{len(data)} bytes are no whole number of rows of {row}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


def _binary10(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return _binary_batch(data, 1)


def _binary100(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return _binary_batch(data, 2)


def _text_names(data: bytes) -> list[str]:
    return data.decode().split()


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_LAYOUTS = (
    _Layout(
        {"train": _BATCHES, "test": ("test_batch",)}, "batches.meta", _pickled_batch, _pickled_names
    ),
    _Layout(
        {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
        "batches.meta.txt",
        _binary10,
        _text_names,
    ),
    _Layout({"train": ("train",), "test": ("test",)}, "meta", _pickled_batch, _pickled_names),
    _Layout(
        {"train": ("train.bin",), "test": ("test.bin",)},
        "fine_label_names.txt",
        _binary100,
        _text_names,
    ),
)


def _layout(path: Path) -> _Layout | None:
    """Which published form lies at a path: the first whose batch files or names are met."""
    for name in _names(path):
        for layout in _LAYOUTS:
            if name in layout.splits["train"] + layout.splits["test"]:
                return layout
    return None


def _names(path: Path) -> Iterator[str]:
    if path.is_dir():
        yield from (file.name for file in _root(path).iterdir() if file.is_file())
    elif path.name.endswith(_ARCHIVES):
        try:
            with tarfile.open(path) as archive:
                yield from (
                    PurePosixPath(member.name).name for member in archive if member.isfile()
                )
        except (tarfile.TarError, OSError, EOFError, zlib.error):
            return


def _root(path: Path) -> Path:
    return next((path / name for name in _FOLDERS if (path / name).is_dir()), path)


def _contents(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """The wanted files that are there, name → bytes; nothing is extracted to disk."""
    if path.is_dir():
        files = {name: _root(path) / name for name in wanted}
        return {name: file.read_bytes() for name, file in files.items() if file.is_file()}
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            stream = archive.extractfile(member) if name in wanted and member.isfile() else None
            if stream is not None:
                found[name] = stream.read()
    return found


def splits(path: Path) -> tuple[str, ...] | None:
    """Train and test where the files of one of the four forms are there, else None."""
    layout = _layout(path)
    return None if layout is None else tuple(layout.splits)


def open_cifar(path: Path, split: str) -> ArraySource:
    """Open a split; nothing from the pickled batches is run."""
    layout = _layout(path)
    if layout is None:
        raise DataError(
            "CIFAR-10 or CIFAR-100 batches, pickled or binary",
            str(path),
            "give the archive or its folder",
        )
    if split not in layout.splits:
        raise missing_split(path, split, tuple(layout.splits))
    wanted = layout.splits[split]
    try:
        contents = _contents(path, (*wanted, layout.names))
        missing = [name for name in wanted if name not in contents]
        if missing:
            raise ValueError(f"without {', '.join(missing)}")
        batches = [layout.read(contents[name]) for name in wanted]
        names = layout.read_names(contents[layout.names]) if layout.names in contents else None
        rows = np.concatenate([images for images, _ in batches])
        labels = np.concatenate([labels for _, labels in batches])
        images = rows.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    except Exception as error:  # a damaged or hostile pickle raises anything
        why = f"{type(error).__name__}: {error}; download it again from its official page"
        raise DataError(f"the {split} batches of CIFAR", str(path), why) from error
    return ArraySource(np.ascontiguousarray(images), labels, names, f"{path.name}/{split}")


SOURCES.add(
    "cifar", Reader("CIFAR-10/100 batches or their .tar.gz (pickled or binary)", splits, open_cifar)
)
