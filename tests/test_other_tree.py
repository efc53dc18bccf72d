"""Another copy of the package is really the one that runs, or nothing does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rmeeto
from rmeeto.ops import dispatch

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from other_tree import environment

needs_native = pytest.mark.skipif(bool(dispatch.missing("selective_scan")), reason="there are no kernels to copy")


@pytest.fixture
def copy(tmp_path):
    package = tmp_path / "copy" / "rmeeto"
    shutil.copytree(Path(rmeeto.__file__).parent, package, ignore=shutil.ignore_patterns("_native*", "assets"))
    return package


@needs_native
def test_the_copy_and_its_kernels_are_imported(copy, tmp_path):
    shutil.copy2(dispatch.native().__file__, copy)
    ask = "import rmeeto; from rmeeto.ops import dispatch; print(rmeeto.__file__, dispatch.native().__file__)"
    variables = environment(copy.parent, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ask], env=variables, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert all(Path(file).is_relative_to(copy) for file in done.stdout.split())


def test_a_copy_without_kernels_is_refused(copy, tmp_path):
    with pytest.raises(SystemExit, match="another copy comes first"):
        environment(copy.parent, tmp_path)
