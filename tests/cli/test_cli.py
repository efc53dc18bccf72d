"""The command line: help, exit codes, three-line errors, JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rmeeto.cli.__main__ import _COMMANDS, main


def run(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rmeeto.cli.__main__", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "--json" in text
    assert "--out" in text
    undocumented = [
        line for line in text.splitlines() if line.strip().startswith("│ --") and "(" not in text
    ]
    assert not undocumented


@pytest.mark.parametrize(
    "args", [["nonsense"], ["rebuild", "--no-such-flag", "1"], ["rebuild", "--r", "many"], []]
)
def test_usage_errors_exit_with_2(args):
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["evaluate", "--model", "vim_tinny_patch16_224"], ["vim_tiny_patch16_224"]),
        (["rebuild", "--method", "rmeto"], ["rmeeto"]),
        (["evaluate", "--data", "no/such/folder"], ["no/such/folder"]),
        (["rebuild", "--recipe", "smal"], ["small"]),
        (["rebuild", "--r", "150"], ["98"]),
        (["rebuild", "--r", "5", "--ratio", "0.3"], ["ratio"]),
        (["rebuild", "--sites", "sometimes"], ["even"]),
        (["evaluate", "--model", "vim_micro_patch2_28", "--weights", "no.pth"], ["no.pth"]),
        (["predict", "no.png"], ["no.png"]),
    ],
)
def test_bad_input_gives_three_lines_and_exit_1(args, words, tmp_path, capsys):
    code = main([*args, "--out", str(tmp_path / "run")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert [line.split(":")[0] for line in lines[-3:]] == ["asked", "given", "why"]
    assert all(any(word in line for line in lines) for word in words), lines
    assert not (tmp_path / "run" / "record.json").exists()


def test_no_traceback_and_exit_code_in_a_real_process(tmp_path):
    done = run("evaluate", "--model", "nonsense", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


def test_list_as_json(capsys):
    assert main(["list", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    models = [
        row[0] for table in record["tables"] if table["title"] == "Models" for row in table["rows"]
    ]
    assert "vim_tiny_patch16_224" in models


def test_doctor_explains_every_op(capsys):
    assert main(["doctor", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    columns = record["tables"][0]["columns"]
    assert {"op", "backend", "why"} <= set(columns)


def test_doctor_tells_a_choice_from_a_lack(capsys, monkeypatch):
    monkeypatch.setenv("RMEETO_BACKEND", "torch")
    assert main(["doctor"]) == 0
    assert "RMEETO_BACKEND=torch rules the native kernels out" in capsys.readouterr().out


@pytest.mark.parametrize(("own", "expected"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch, capsys, own, expected):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    assert main(["list", "--pattern", "nothing_*", "--json"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == expected
