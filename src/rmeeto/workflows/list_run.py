"""What there is to choose from."""

from __future__ import annotations

import fnmatch

from ..backbones import list_models
from ..data import AUGMENTS
from ..reducers import REDUCERS
from ..reporting import RunRecord, Table
from ..retrain import PRESETS
from ..scores import SCORES
from .options import ListOptions
from .record import start_record
from .ui import Watcher


def run(options: ListOptions, ui: Watcher | None = None) -> RunRecord:
    """Models, reducers, recipes, scores and augmentations whose names match the pattern."""
    kinds = {
        "Models": dict.fromkeys(list_models(), ""),
        "Reducers": {name: _first_line(REDUCERS.get(name)) for name in REDUCERS},
        "Recipes": {
            name: f"{r.epochs} epochs, batch {r.batch_size}, lr {r.lr}"
            for name, r in PRESETS.items()
        },
        "Scores": {name: _first_line(SCORES.get(name)) for name in SCORES},
        "Augmentations": dict.fromkeys(AUGMENTS, ""),
    }
    tables = []
    for kind, entries in kinds.items():
        rows = tuple(
            (n, about) for n, about in entries.items() if fnmatch.fnmatch(n, options.pattern)
        )
        if rows:
            tables.append(Table(kind, ("name", "about"), rows))
    record = start_record("list", options, tables=tuple(tables), headline="Available in rmeeto.")
    if options.out:
        record.save(options.out / "record.json")
    return record


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0]
