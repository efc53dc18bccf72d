"""The command table: parse → call the workflow of the same name → print its record. No logic here."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import tyro

from ..errors import RmeetoError
from ..workflows import options as o

_FLAT = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.HelptextFromCommentsOff,
)

_COMMANDS = {
    "rebuild": o.RebuildOptions,
    "train": o.TrainOptions,
    "evaluate": o.EvaluateOptions,
    "sweep": o.SweepOptions,
    "audit": o.AuditOptions,
    "calibrate": o.CalibrateOptions,
    "bench": o.BenchOptions,
    "predict": o.PredictOptions,
    "inspect": o.InspectOptions,
    "list": o.ListOptions,
    "doctor": o.DoctorOptions,
}


def _parse(argv: list[str] | None):
    """(command name, its options); tyro prints usage errors itself and exits with 2."""
    union: Any = None
    for name, cls in _COMMANDS.items():
        choice: Any = Annotated[cls, tyro.conf.subcommand(name=name)]
        union = choice if union is None else union | choice
    given = tyro.cli(
        union,
        prog="rmeeto",
        description="Merge tokens, re-train for minutes, get a faster Vision Mamba or ViT and the proof of it. "
        "Start with `rmeeto rebuild` (a demo that needs nothing), then add --model, --weights and --data.",
        args=argv,
        config=_FLAT,
    )
    return next(name for name, cls in _COMMANDS.items() if type(given) is cls), given


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 our three-line error, 2 usage, 130 interrupted."""
    command, given = _parse(argv)
    # Threads that wait by spinning stand in the way of whatever else runs, and of each other: on two
    # cores with one busy neighbour training took five times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        workflow = importlib.import_module(f"rmeeto.workflows.{command}_run")
        from .console import Console

        console = Console(quiet=_wants_json(given))
        console.show(workflow.run(given, console), as_json=_wants_json(given))
    except RmeetoError as error:
        if os.environ.get("RMEETO_TRACEBACK"):
            raise
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        return 130
    return 0


def _wants_json(given) -> bool:
    return given.run.json if hasattr(given, "run") else given.json


if __name__ == "__main__":
    sys.exit(main())
