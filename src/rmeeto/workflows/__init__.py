"""The commands as Python functions: each takes its options and returns a `RunRecord`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..errors import unknown_name
from .options import AuditOptions, RebuildOptions

if TYPE_CHECKING:
    from ..reporting import RunRecord

__all__ = ["audit", "flat_options", "rebuild"]


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


def audit(*models: str, **settings: Any) -> RunRecord:
    """What a model knows about what it does not know, and what a change of it did to that.

    Args:
        models: A, and B if two are to be compared: saved folders, "demo" (the default) or names.
        settings: any flag of `rmeeto audit` under its own name: ``data``, ``ood``, ``scores``,
            ``r``, ``limit``, ``out``, …

    Returns:
        The record; figures of A, of B and of the paired change in groups "A", "B" and "B − A".

    Raises:
        RmeetoError: with three lines that say what to change.
    """
    from .audit_run import run

    return run(flat_options(AuditOptions, {"models": models or ("demo",), **settings}))


def flat_options(cls: type, settings: dict[str, Any]) -> Any:
    """An options dataclass from its flags by name; an unknown one is an `UnknownNameError`."""
    groups: dict[str, Any] = {
        f.name: f.default_factory()
        for f in dataclasses.fields(cls)
        if f.default_factory is not dataclasses.MISSING
    }
    flags = {f.name: k for k, group in groups.items() for f in dataclasses.fields(group)}
    own = {f.name for f in dataclasses.fields(cls)} - set(groups)
    for name in settings:
        if name not in own and name not in flags:
            raise unknown_name("setting", name, own | set(flags))
    for key, group in groups.items():
        changes = {name: v for name, v in settings.items() if flags.get(name) == key}
        groups[key] = dataclasses.replace(group, **changes)
    return cls(**groups, **{name: v for name, v in settings.items() if name in own})
