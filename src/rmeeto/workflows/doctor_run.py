"""Which kernels run on this machine, and why."""

from __future__ import annotations

from ..ops.explain import explain
from ..reporting import RunRecord, Table
from .options import DoctorOptions
from .record import start_record
from .ui import Watcher


def run(options: DoctorOptions, ui: Watcher | None = None) -> RunRecord:
    """Explain the backend of every op."""
    rows = explain()
    columns = tuple(rows[0])
    table = Table("Kernels", columns, tuple(tuple(row[c] for c in columns) for row in rows))
    native = sum(row["backend"] == "native" for row in rows)
    headline = (
        f"{native} of {len(rows)} ops run natively."
        if native
        else (
            "No native kernels: everything works, slowly. Install a C++ compiler and run `pip install .` again."
        )
    )
    record = start_record("doctor", options, tables=(table,), headline=headline)
    if options.out:
        record.save(options.out / "record.json")
    return record
