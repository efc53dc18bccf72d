"""The terminal: notes and progress bars on stderr, the record on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..reporting import RunRecord, print_record


class Console:
    """Watcher of a workflow for a person (or, with ``quiet``, for a script that reads JSON)."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console as Rich

        self._rich, self._quiet = Rich(stderr=True, highlight=False), quiet

    def note(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            self._rich.print(text, markup=False)

    @contextmanager
    def bar(self, title: str) -> Iterator[_Bar]:
        """A progress bar with time left; plain lines where there is no terminal."""
        from rich import progress as p

        columns = (
            p.TextColumn("{task.description:<22}"),
            p.BarColumn(28),
            p.TaskProgressColumn(),
            p.TimeRemainingColumn(),
            p.TextColumn("{task.fields[text]}"),
        )
        shown = self._rich.is_terminal and not self._quiet
        with p.Progress(*columns, console=self._rich, disable=not shown) as progress:
            yield _Bar(progress, progress.add_task(title, total=None, text=""))
        if not shown:
            self.note(f"{title}: done")

    def show(self, record: RunRecord, as_json: bool) -> None:
        """Print the result of a command."""
        sys.stdout.write(record.to_json() if as_json else "")
        if not as_json:
            print_record(record)


class _Bar:
    def __init__(self, progress, task) -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show progress; ``text`` holds loss, accuracy, images a second."""
        self._progress.update(self._task, completed=done, total=total, text=text)
