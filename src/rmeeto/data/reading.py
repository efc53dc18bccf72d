"""Open an image set by its path: a table of readers, each of which knows one format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, unknown_name
from ..registry import Registry
from .sources import ImageSource


@dataclass(frozen=True)
class Reader:
    """One format.

    A set that is not divided (one folder of classes, one file) has the splits ``()`` and is
    opened whole, whatever split is asked for.
    """

    looks_for: str
    """What lies at a path of this format, in words."""
    splits: Callable[[Path], tuple[str, ...] | None]
    """Path → splits found, () for one undivided set, None where the format is another."""
    open: Callable[[Path, str], ImageSource]
    """(path, split) → source."""
    broad: bool = False
    """Recognises much, so is asked last."""
    needs_path: bool = True
    """False for a set that is opened by the reader's name alone."""


SOURCES: Registry[Reader] = Registry(
    "data source",
    "rmeeto.sources",
    tuple(f"rmeeto.data.{name}" for name in ("cifar", "demo", "folder", "idx", "npz")),
)


def open_source(spec: str | Path, split: str) -> ImageSource:
    """Open an image set.

    Args:
        spec: a path whose format is recognised, ``"reader:path"`` to name the format
            (``folder:``, ``idx:``, ``cifar:``, ``npz:``), or ``"demo"``, the embedded set.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Raises:
        DataError: nothing there, no reader recognises it, or the split is missing.
    """
    reader, path = _resolve(spec)
    return reader.open(path, split)


def available_splits(spec: str | Path) -> tuple[str, ...]:
    """The splits of a set; () for an undivided one, which is the same images under every name."""
    reader, path = _resolve(spec)
    return reader.splits(path) or ()


def _resolve(spec: str | Path) -> tuple[Reader, Path]:
    name, colon, rest = str(spec).partition(":") if isinstance(spec, str) else ("", "", "")
    if name in SOURCES and bool(rest) == SOURCES.get(name).needs_path:
        return SOURCES.get(name), _existing(Path(rest).expanduser(), spec) if rest else Path()
    path = Path(spec).expanduser()
    if colon and len(name) > 1 and not path.exists():  # one letter is a Windows drive
        why = (
            "it takes no path" if name in SOURCES else unknown_name("reader", name, SOURCES).reason
        )
        raise DataError("an image set", str(spec), f"no such path; and as a reader's name: {why}")
    return _recognise(_existing(path, spec))


def _recognise(path: Path) -> tuple[Reader, Path]:
    readers = [SOURCES.get(name) for name in SOURCES]
    readers = sorted((r for r in readers if r.needs_path), key=lambda reader: reader.broad)
    for reader in readers:
        if reader.splits(path) is not None:
            return reader, path
    looked_for = "; ".join(reader.looks_for for reader in readers)
    raise DataError("an image set of a known format", str(path), f"found none of: {looked_for}")


def _existing(path: Path, spec: str | Path) -> Path:
    if not path.exists():
        near = next((p for p in path.absolute().parents if p.exists()), Path("/"))
        why = f"no such file or folder (nearest that exists: {near}); 'demo' needs no files"
        raise DataError("an image set", str(spec), why)
    return path


def missing_split(path: Path, split: str, found: Sequence[str]) -> DataError:
    """The error for a split that a set does not have."""
    return DataError(
        f"the {split} split of {path}",
        f"it has {', '.join(found) or 'none'}",
        "ask for one of these; split_validation parts a validation set from train",
    )


def class_names(path: Path) -> list[str] | None:
    """Class names from a text file, one a line, or None without the file."""
    if not path.is_file():
        return None
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
