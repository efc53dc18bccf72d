"""A record in the terminal: the sentence, the before/after table, what to watch out for."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

from .headline import headline
from .measures import BeforeAfter, Cell, Row, before_after, other_groups
from .numbers import duration, plain_text
from .record import RunRecord, Table

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 120  # of output that no terminal bounds


def print_record(record: RunRecord, file: TextIO | None = None) -> None:
    """Write the record to ``file`` (standard output): in colour on a terminal, else plain."""
    out = sys.stdout if file is None else file
    on_terminal = out.isatty()
    text = _drawn(record, on_terminal, None if on_terminal else _PLAIN_WIDTH)
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))


def render_text(record: RunRecord, width: int = _PLAIN_WIDTH) -> str:
    """The record as plain text without colours or box drawing."""
    return _drawn(record, False, width)


def _drawn(record: RunRecord, colour: bool, width: int | None) -> str:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=colour,
        no_color=None if colour else True,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )
    _print(record, console, colour)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _print(record: RunRecord, console: Console, colour: bool) -> None:
    console.print(headline(record), style="bold")
    stages = before_after(record)
    if stages:
        console.print(_stages_table(stages, colour))
    for title, rows in other_groups(record).items():
        console.print(_group_table(title, rows, colour))
    for table in record.tables:
        if table.folded:
            console.print(f"{table.title}: {len(table.rows)} rows, in record.json and report.html")
        else:
            console.print(_table(table, colour))
    for verdict in record.verdicts:
        detail = f": {verdict.detail}" if verdict.detail else ""
        console.print(f"{verdict.verdict:>12}  {verdict.name}{detail}")
    if record.timings:
        spent = ", ".join(
            f"{name.replace('_', ' ')} {duration(s)}" for name, s in record.timings.items()
        )
        console.print(f"time: {spent}", style="dim")
    for reason, what in record.skipped.items():
        console.print(f"skipped: {reason}: {_short(what)}", style="yellow")
    for warning in record.warnings:
        console.print(f"warning: {warning}", style="yellow")


def _new_table(title: str, colour: bool):
    from rich import box
    from rich.table import Table as RichTable

    drawn = box.SIMPLE_HEAD if colour else None
    return RichTable(
        title=title or None,
        box=drawn,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=(0, 3, 0, 0),
        header_style="bold",
    )


def _stages_table(stages: BeforeAfter, colour: bool):
    from rich.text import Text

    table = _new_table("", colour)
    table.add_column("")
    for stage in stages.stages:
        table.add_column(stage, justify="right")
    for section in stages.sections:
        table.add_row(Text(section.title, style="bold dim"))
        for row in section.rows:
            table.add_row(f"  {_row_label(row)}", *(_cell(cell) for cell in row.cells))
    return table


def _group_table(title: str, rows: list[Row], colour: bool):
    table = _new_table(title, colour)
    table.add_column("Measure")
    table.add_column("Value", justify="right")
    table.add_column("Note")
    for row in rows:
        cell = row.cells[0]
        table.add_row(_row_label(row), _cell(cell), cell.note if cell else "")
    return table


def _table(content: Table, colour: bool):
    table = _new_table(content.title, colour)
    numeric = [all(_is_number(row[i]) for row in content.rows) for i in range(len(content.columns))]
    for name, right in zip(content.columns, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left")
    for row in content.rows:
        table.add_row(*(plain_text(value) for value in row))
    table.caption = content.note
    return table


def _row_label(row: Row) -> str:
    return f"{row.label}, {row.unit}" if row.unit else row.label


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    verdict = cell.change if cell.interval else ""
    beside = ", ".join(filter(None, (cell.interval or cell.change, verdict)))
    return f"{cell.value} ({beside})" if beside else cell.value


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _short(what: object, most: int = 5) -> str:
    if isinstance(what, (list, tuple)):
        named = ", ".join(map(str, what[:most]))
        return f"{named}, … ({len(what)} in all)" if len(what) > most else named
    return str(what)
