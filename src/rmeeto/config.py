"""Dataclass ⇄ dict, TOML and JSON: strict keys, types checked, versions and fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError, unknown_name

C = TypeVar("C")


def to_dict(config: Any) -> Any:
    """A dataclass (nested ones too) as plain dicts, lists, strings and numbers; `None` is left out."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = ((f.name, getattr(config, f.name)) for f in dataclasses.fields(config))
        return {name: to_dict(value) for name, value in fields if value is not None}
    if isinstance(config, dict):
        return {str(key): to_dict(value) for key, value in config.items() if value is not None}
    if isinstance(config, (list, tuple)):
        return [to_dict(value) for value in config]
    if isinstance(config, Path):
        return str(config)
    return config


def from_dict(cls: type[C], values: dict[str, Any], where: str = "") -> C:
    """Build dataclass ``cls`` from ``values``; an unknown key or a wrong type is a `ConfigError`."""
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            error = unknown_name("setting", f"{where}{key}", [where + name for name in fields])
            raise ConfigError(f"settings of {cls.__name__}", f"{where}{key}", error.reason)
    built = {k: _convert(hints[k], v, f"{where}{k}") for k, v in values.items()}
    missing = [
        name
        for name, f in fields.items()
        if name not in built
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(
            f"settings of {cls.__name__}", f"no {where}{missing[0]}", "it has no default; set it"
        )
    return cls(**built)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_dict(typing.cast(type, hint), value, where + ".")
    if origin is typing.Literal and value in args:
        return value
    if origin in (tuple, list) and isinstance(value, (list, tuple)):
        inner = args[0] if args else Any
        return (tuple if origin is tuple else list)(_convert(inner, v, where) for v in value)
    if origin is dict and isinstance(value, dict):
        return {k: _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    wanted = (
        " or ".join(map(repr, args))
        if origin is typing.Literal
        else getattr(hint, "__name__", str(hint))
    )
    raise ConfigError(f"{where} to be {wanted}", repr(value), f"change {where} to a {wanted}")


def _convert_union(args: tuple, value: Any, where: str) -> Any:
    error = None
    for choice in args:
        if choice is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(choice, value, where)
        except ConfigError as e:
            error = error or e
    raise error or ConfigError(f"{where} to be set", repr(value), f"give {where} a value")


def load_toml(cls: type[C], path: str | Path) -> C:
    """Read a TOML (or, by its suffix, JSON) file into dataclass ``cls``."""
    path = Path(path)
    try:
        text = path.read_text()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as e:
        raise ConfigError(
            f"settings for {cls.__name__} from a file", str(path), f"{e}; check the path and syntax"
        ) from e
    return from_dict(cls, values)


def to_toml(values: dict[str, Any]) -> str:
    """A dict of plain values and tables as TOML text (tables after scalars, one level of nesting or more)."""
    return "\n".join(_toml_table(to_dict(values), ())) + "\n"


def _toml_table(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(k)} = {_toml_value(v)}" for k, v in table.items() if not isinstance(v, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            inner = (*path, _key(key))
            lines += ["", f"[{'.'.join(inner)}]", *_toml_table(value, inner)]
    return lines


def _key(key: str) -> str:
    return (
        key
        if key.replace("_", "").replace("-", "").isalnum() and key.isascii()
        else json.dumps(key)
    )


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def fingerprint(config: Any) -> str:
    """Sixteen hex digits that change with any value of ``config``."""
    text = json.dumps(to_dict(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
