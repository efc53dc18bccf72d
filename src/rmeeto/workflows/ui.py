"""What a workflow tells whoever watches it; silent unless a console is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """A running progress bar."""

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show ``done`` of ``total`` and a few numbers."""
        ...


class Watcher(Protocol):
    """Follows a workflow: `rmeeto.cli.console.Console` in a terminal, nothing in a script."""

    def note(self, text: str) -> None:
        """A line worth reading, such as a warning or an estimate."""
        ...

    def bar(self, title: str) -> AbstractContextManager[Bar]:
        """Context manager that yields a `Bar`."""
        ...


class Silent:
    """The watcher of scripts: says nothing."""

    def note(self, text: str) -> None:
        """Ignore ``text``."""

    @contextmanager
    def bar(self, title: str) -> Iterator[Bar]:
        """A bar that shows nothing."""
        yield self

    def update(self, done: float, total: float, text: str = "") -> None:
        """Ignore progress."""
