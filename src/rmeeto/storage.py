"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from .errors import StorageError

_WAYS_OUT = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    getattr(errno, "EDQUOT", -1): "the disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: "the file is larger than the system allows; raise the limit (ulimit -f)",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "a folder has that name; choose another file name",
}


def write_atomic(path: str | Path, data: bytes | str) -> Path:
    """Write one file so that a reader sees the old content or the new, never a part.

    Args:
        path: file to write; missing folders are made.
        data: bytes, or text (written as UTF-8).

    Returns:
        the path.

    Raises:
        StorageError: the disk is full, the path is not writable, …; the old file is untouched.
    """
    write_all_atomic({path: data})
    return Path(path)


def write_all_atomic(files: Mapping[str | Path, bytes | str]) -> None:
    """Write several files that belong together: all are on disk before the first is renamed.

    Raises:
        StorageError: as `write_atomic`; no file of the group has changed then.
    """
    staged: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for name, data in files.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.append((path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp"), path))
            _write_synced(staged[-1][0], data.encode() if isinstance(data, str) else data)
        for temporary, path in staged:
            temporary.replace(path)
        for folder in {path.parent for _, path in staged}:
            _sync_folder(folder)
    except OSError as e:
        raise storage_error(path, e) from e
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def storage_error(path: str | Path, error: OSError) -> StorageError:
    """The three-line form of an `OSError` met while writing ``path``."""
    way_out = _WAYS_OUT.get(error.errno or 0, f"{error.strerror or error}; choose another place")
    return StorageError("to write a file", str(path), way_out)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the renames durable; systems that can't open a folder do without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
