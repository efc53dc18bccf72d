"""The JSON Schema of `record.json`, made from the dataclasses, and a check against it."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

from .record import RunRecord

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def record_schema() -> dict[str, Any]:
    """The schema that every `record.json` of this version keeps to; docs/record.schema.json is its text.

    Keys that no dataclass has are refused. Keys without a value may be left out, and so may those that
    have a default, because older records lack the newer ones.
    """
    return {"$schema": DIALECT, "title": "rmeeto run record", **_schema(RunRecord)}


def _schema(hint: Any) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if dataclasses.is_dataclass(hint):
        return _object(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(choice) for choice in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1])}
    raise AssertionError(f"no schema for {hint}")


def _object(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    needed = [f.name for f in dataclasses.fields(cls) if _has_no_default(f)]
    return {
        "type": "object",
        "properties": {f.name: _schema(hints[f.name]) for f in dataclasses.fields(cls)},
        "required": needed,
        "additionalProperties": False,
    }


def _has_no_default(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def violations(values: Any, schema: dict[str, Any], where: str = "record") -> Iterator[str]:
    """What of ``values`` (as `json.loads` gives them) breaks a schema of `record_schema`'s kind.

    Knows the keywords that `record_schema` uses: type, enum, anyOf, items, properties, required,
    additionalProperties.

    Yields:
        one line for each fault, such as "record.metrics[3].unit: 7 is no string".
    """
    if "anyOf" in schema:
        found = [list(violations(values, choice, where)) for choice in schema["anyOf"]]
        if all(found):
            yield min(found, key=len)[0]
        return
    if "enum" in schema and values not in schema["enum"]:
        yield f"{where}: {values!r} is none of {schema['enum']}"
    if "type" in schema and not _is(values, schema["type"]):
        yield f"{where}: {values!r:.40} is no {schema['type']}"
    elif isinstance(values, list):
        for index, item in enumerate(values):
            yield from violations(item, schema.get("items", {}), f"{where}[{index}]")
    elif isinstance(values, dict):
        yield from _in_object(values, schema, where)


def _in_object(values: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in values:
            yield f"{where}: no {name}"
    for name, value in values.items():
        if name not in known and others is False:
            yield f"{where}: {name} is no key of it"
        else:
            yield from violations(value, known.get(name, others), f"{where}.{name}")


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (kind == "number" and isinstance(value, float))
    return isinstance(
        value, {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}[kind]
    )
