"""Which kernels run on this machine, and why."""

from __future__ import annotations

import os

from ..ops.explain import explain, products
from ..reporting import RunRecord, Table
from .options import DoctorOptions
from .record import start_record
from .ui import Watcher


def run(options: DoctorOptions, ui: Watcher | None = None) -> RunRecord:
    """Explain the backend of every op."""
    rows = explain()
    columns, shown = tuple(rows[0]), [*rows, products()]
    table = Table("Kernels", columns, tuple(tuple(row[c] for c in columns) for row in shown))
    native = sum(row["backend"] == "native" for row in rows)
    headline = _headline(native, len(rows))
    record = start_record("doctor", options, tables=(table,), headline=headline)
    if options.out:
        record.save(options.out / "record.json")
    return record


def _headline(native: int, ops: int) -> str:
    if native:
        return f"{native} of {ops} ops run natively."
    forced = os.environ.get("RMEETO_BACKEND", "auto")
    if forced not in ("auto", "native"):
        return f"RMEETO_BACKEND={forced} rules the native kernels out; unset it for the fastest choice."
    return "No native kernels: everything works, slowly. Install a C++ compiler and run `pip install .` again."
