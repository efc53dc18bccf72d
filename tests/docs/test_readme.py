"""The README's Python runs, its commands exist, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rmeeto.cli.__main__ import _COMMANDS, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_python_blocks_run(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/taste/report.html").exists()


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_continuous_integration_runs_the_readme_command():
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "make test" in README


@pytest.mark.parametrize("text", re.findall(r"rmeeto rebuild (.*?)(?:\n\n|```)", README, re.DOTALL))
def test_rebuild_flags_exist(text, capsys):
    with pytest.raises(SystemExit):
        main(["rebuild", "--help"])
    help_text = capsys.readouterr().out
    for flag in re.findall(r"--[a-z-]+", text):
        assert flag in help_text


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_commands_named_in_the_readme_exist():
    listed = re.search(r"other commands: (.*?)\.\n", README, re.DOTALL).group(1)
    assert set(re.findall(r"`(\w+)`", listed)) | {"rebuild"} == set(_COMMANDS)
