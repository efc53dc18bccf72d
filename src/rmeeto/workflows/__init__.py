"""The commands as Python functions: each takes its options and returns a `RunRecord`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..errors import unknown_name
from .options import RebuildOptions

if TYPE_CHECKING:
    from ..reporting import RunRecord

__all__ = ["flat_options", "rebuild"]


def rebuild(**settings: Any) -> RunRecord:
    """Reduce a model's tokens, re-train it for minutes, and prove what came of it.

    Args:
        settings: any flag of `rmeeto rebuild` under its own name: ``model``, ``weights``, ``data``,
            ``r``, ``minutes``, ``out``, …; all have defaults (the demo).

    Returns:
        The record of the run; ``out`` holds report.html and the rebuilt model.

    Raises:
        RmeetoError: with three lines that say what to change.
    """
    from .rebuild_run import run

    return run(flat_options(RebuildOptions, settings))


def flat_options(cls: type, settings: dict[str, Any]) -> Any:
    """An options dataclass from its flags by name; an unknown one is an `UnknownNameError`."""
    default = cls()
    groups = {f.name: getattr(default, f.name) for f in dataclasses.fields(cls)}
    nested: dict[str, Any] = {k: v for k, v in groups.items() if dataclasses.is_dataclass(v)}
    flags = {f.name: k for k, v in nested.items() for f in dataclasses.fields(v)}
    own = set(groups) - set(nested)
    changes: dict[str, dict[str, Any]] = {k: {} for k in nested}
    for name, value in settings.items():
        if name in flags:
            changes[flags[name]][name] = value
        elif name not in own:
            raise unknown_name("setting", name, own | set(flags))
    built = {k: dataclasses.replace(v, **changes[k]) for k, v in nested.items()}
    return dataclasses.replace(default, **built, **{k: v for k, v in settings.items() if k in own})
