"""A named table of things that register themselves, loaded lazily, open to third parties."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from .config import from_dict
from .errors import ConfigError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Names → objects of one kind.

    Args:
        kind: what the entries are, for messages ("reducer").
        group: entry-point group in which third parties list theirs ("rmeeto.reducers").
        modules: our own modules that register entries when imported; imported on first use.
    """

    def __init__(self, kind: str, group: str, modules: tuple[str, ...] = ()) -> None:
        self.kind, self.group, self._modules = kind, group, modules
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorator that adds an object under ``name``; a second use of a name is an error."""

        def add(entry):
            self.add(name, entry)
            return entry

        return add

    def add(self, name: str, entry: T) -> None:
        """Add ``entry`` under ``name``."""
        if name in self._entries and self._entries[name] is not entry:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def get(self, name: str) -> T:
        """The entry called ``name``; raises `UnknownNameError` with the nearest names."""
        self._load()
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def build(self, values: dict[str, Any]) -> Any:
        """An object of a registered dataclass from ``{"name": …, settings}``.

        Raises:
            UnknownNameError: if nothing has that name.
            ConfigError: if there is no name, or a setting is unknown or out of range.
        """
        settings = dict(values)
        name = settings.pop("name", None)
        if not isinstance(name, str):
            reason = f"add a name, one of {', '.join(self.names())}"
            raise ConfigError(f"a {self.kind} from its settings", f"name={name!r}", reason)
        return from_dict(self.get(name), settings)  # type: ignore[type-var]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for module in self._modules:
            importlib.import_module(module)
        for point in entry_points(group=self.group):
            if point.name not in self._entries:
                self.add(point.name, point.load())
