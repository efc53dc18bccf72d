"""A folder of class sub-folders, optionally below train, val and test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..errors import DataError
from .decode import decode_image
from .reading import SOURCES, Reader, missing_split
from .sources import EncodedSource

_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_KINDS = "jpg jpeg png bmp webp tif tiff gif ppm pgm pbm jp2"
_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())


def splits(path: Path) -> tuple[str, ...] | None:
    """Splits found as sub-folders, () for class sub-folders only, None without sub-folders."""
    if not path.is_dir():
        return None
    found = tuple(split for split in _SPLITS if _split_folder(path, split))
    return found or (() if _visible_folders(path) else None)


def open_folder(path: Path, split: str) -> EncodedSource:
    """Open class sub-folders; labels follow the sorted names of the training split's classes."""
    found = splits(path)
    if found is None:
        raise _no_classes(path)
    if not found:
        return _open(path, _class_names(path), path.name)
    root = _split_folder(path, split)
    if root is None:
        raise missing_split(path, split, found)
    names = _class_names(_split_folder(path, "train") or root)
    unknown = sorted(set(_class_names(root)) - set(names))
    if unknown:
        raise DataError(
            f"the {split} classes of {path} among those of train",
            f"{', '.join(unknown[:3])} only in {root.name}",
            "every class needs a folder of the same name under train",
        )
    return _open(root, names, f"{path.name}/{split}")


def _open(root: Path, classes: list[str], name: str) -> EncodedSource:
    files: list[Path] = []
    labels: list[int] = []
    for label, class_name in enumerate(classes):
        folder = root / class_name
        if not folder.is_dir():  # a class of train that this split has no image of
            continue
        images = sorted(_images(folder))
        if not images:
            raise DataError(
                "images in every class folder",
                f"{folder} has none",
                f"add images ({_KINDS}) or delete the folder",
            )
        files += images
        labels += [label] * len(images)
    sizes = [file.stat().st_size for file in files]
    read = partial(_read_file, tuple(files))
    return EncodedSource(read, decode_image, labels, classes, name, sizes, list(map(str, files)))


def _read_file(files: tuple[Path, ...], index: int) -> bytes:
    return files[index].read_bytes()


def _split_folder(path: Path, split: str) -> Path | None:
    names = _SPLITS.get(split, (split,))
    return next((path / name for name in names if (path / name).is_dir()), None)


def _class_names(root: Path) -> list[str]:
    names = sorted(folder.name for folder in _visible_folders(root))
    if not names:
        raise _no_classes(root)
    return names


def _no_classes(path: Path) -> DataError:
    return DataError(
        "a folder with one sub-folder a class",
        f"{path} without sub-folders",
        "move the images into folders named by class, e.g. cat/1.jpg",
    )


def _visible_folders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _images(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and not hidden and path.is_file():
            yield path


SOURCES.add(
    "folder",
    Reader(
        "a folder with one sub-folder a class (or train/, val/, test/)",
        splits,
        open_folder,
        broad=True,
    ),
)
