"""The registry of reducers and their way to and from saved settings."""

from __future__ import annotations

from typing import Any

from rmeeto.config import to_dict
from rmeeto.registry import Registry
from rmeeto.tokens import Reducer

REDUCERS: Registry[type[Reducer]] = Registry("reducer", "rmeeto.reducers", ("rmeeto.reducers",))


def reducer_from_dict(values: dict[str, Any]) -> Reducer:
    """Build a reducer from ``{"name": …, settings}``.

    Raises:
        UnknownNameError: if no reducer has that name.
        ConfigError: if there is no name, or a setting is unknown or out of range.
    """
    return REDUCERS.build(values)


def reducer_to_dict(config: Reducer) -> dict[str, Any]:
    """The settings of a reducer as plain values that `reducer_from_dict` reads."""
    return {"name": config.name, **to_dict(config)}
