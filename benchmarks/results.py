"""The results file: what was measured, of which code and on what, written after every benchmark."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rmeeto
from rmeeto.config import to_dict
from rmeeto.ops import dispatch
from rmeeto.profiling import describe_machine
from rmeeto.storage import write_atomic

from .limits import MachineLimits

SCHEMA = 1


def code_version() -> str:
    """Hash of the package, its compiled kernels and the benchmarks: results of other code are stale."""
    folders = Path(rmeeto.__file__).parent, Path(__file__).parent
    files = [f for folder in folders for kind in ("*.py", "*.cpp") for f in folder.rglob(kind)]
    parts = [f.read_bytes() for f in sorted(files)]
    if not dispatch.missing("selective_scan"):  # wherever an installation put them
        parts.append(Path(dispatch.native().__file__ or "").read_bytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Package → version of what is compared with, where it is installed."""
    found = {}
    for package in ("mambapy", "transformers", "timm"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class Results:
    """The file at ``path``; results in it of this code and machine count as done.

    Args:
        path: JSON, see `SCHEMA`. Results of other code, and of benchmarks that are not run now,
            stay in it until they are measured again.
        fresh: count nothing as done.
    """

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path, self.code, self.machine = path, code_version(), describe_machine()
        old = json.loads(path.read_text()) if path.exists() and not fresh else {}
        same = (
            old.get("schema") == SCHEMA and old.get("machine", {}).get("cpu") == self.machine["cpu"]
        )
        self.data: dict[str, Any] = {"schema": SCHEMA, "code": self.code, "machine": self.machine}
        self.data["versions"] = versions()
        self.data |= {"limits": old.get("limits") if same else None}
        self.data |= {"results": old.get("results", {}) if same else {}}

    def has(self, name: str) -> bool:
        """Whether a benchmark needs no run."""
        record = self.data["results"].get(name, {})
        return record.get("code") == self.code and record["status"] != "failed"

    def limits(self, measure: Callable[[], MachineLimits]) -> MachineLimits:
        """The machine's limits, from the file if they are there."""
        if not self.data["limits"]:
            self.data["limits"] = to_dict(measure())
            self._write()
        return MachineLimits(**self.data["limits"])

    def add(self, name: str, record: dict[str, Any]) -> None:
        """Put one result on disk."""
        self.data["results"][name] = record | {"code": self.code}
        self._write()

    def _write(self) -> None:
        write_atomic(self.path, json.dumps(self.data, indent=1, ensure_ascii=False) + "\n")
