"""The terminal shows the table in colour, a pipe plain text; no name is taken for markup."""

import dataclasses
import io

import pytest

from rmeeto.reporting import Metric, RunRecord, print_record, render_text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_text_has_the_table(full_record):
    text = render_text(full_record)
    lines = text.splitlines()
    assert lines[0].replace("\u202f", " ").startswith("Merged 31 % of the tokens")
    (top1,) = [line for line in lines if line.strip().startswith("Top-1, %")]
    assert top1.split()[2:] == ["74.9", "(74.1–75.8)", "68.7", "(67.8–69.6)", "74.6", "(73.7–75.5)"]
    assert all(len(line) <= 120 and line == line.rstrip() for line in lines)
    for words in (
        "warning: Slower",
        "skipped: corrupt",
        "Costs by part",
        "Audit",
        "holds  A short",
    ):
        assert words in text


def test_pipe_gets_no_escapes_and_terminal_does(full_record):
    pipe, terminal = io.StringIO(), Terminal()
    print_record(full_record, pipe)
    print_record(full_record, terminal)
    assert "\x1b" not in pipe.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_ascii_streams_do_not_fail(full_record):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    print_record(full_record, out)
    out.flush()
    assert b"Top-1" in raw.getvalue()


def test_smallest_record():
    assert render_text(RunRecord("bench")) == "Results of rmeeto bench.\n"


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/]", ":smile:", "\\[b]"])
def test_names_are_not_markup(name, full_record):
    record = dataclasses.replace(
        full_record, warnings=[name], metrics=[Metric("m", 1.0, note=name, group=name)]
    )
    assert render_text(record).count(name) == 3


def test_many_skipped_names_are_counted():
    text = render_text(RunRecord("x", skipped={"corrupt": [f"{i}.png" for i in range(40)]}))
    assert "0.png, 1.png, 2.png, 3.png, 4.png, … (40 in all)" in text
