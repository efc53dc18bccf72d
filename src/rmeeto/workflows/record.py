"""Start and finish of every command's record."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import to_dict
from ..profiling import describe_machine
from ..reporting import RunRecord, write_report
from .folder import RunFolder
from .options import RunOptions
from .ui import Watcher


def default_out(options: RunOptions, command: str) -> Path:
    """``--out``, or runs/COMMAND."""
    return options.out or Path("runs") / command


def start_record(command: str, options: Any, fingerprint: str = "", **fields: Any) -> RunRecord:
    """A record with everything that every command states: when, what code, settings, machine, seeds."""
    run = getattr(options, "run", None)
    return RunRecord(
        command,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        config=to_dict(options),
        fingerprint=fingerprint,
        machine=describe_machine(),
        seeds={"seed": run.seed} if run else {},
        **fields,
    )


def finish(record: RunRecord, folder: RunFolder, ui: Watcher) -> RunRecord:
    """Write record.json and report.html."""
    record.save(folder.path / "record.json")
    write_report(record, folder.path / "report.html")
    ui.note(f"record and report: {folder.path}/record.json, {folder.path}/report.html")
    return record


def code_version() -> str:
    """Version of the package, with the commit where it runs from a checkout."""
    root = Path(__file__).resolve().parents[3]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    if not (root / ".git").exists():
        return __version__
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{done.stdout.strip()}"
