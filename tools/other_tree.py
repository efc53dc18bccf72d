"""Run Python on another copy of the package than the installed one.

An editable installation looks modules up before the path is searched, so PYTHONPATH alone changes nothing, and
nobody notices.
"""

import os
import subprocess
import sys
from pathlib import Path

_FORGET = """\
import sys

sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__name__.startswith("ScikitBuild")]
"""
_ASK = "import rmeeto; from rmeeto.ops import dispatch; print(rmeeto.__file__); print(dispatch.native().__file__)"


def environment(source: Path, scratch: Path, **more: str) -> dict[str, str]:
    """Variables under which Python imports rmeeto and its kernels from ``source``.

    Args:
        source: the folder that holds rmeeto/ with its compiled extension in it.
        scratch: a folder for a file that has to be there as long as Python is started.
        more: further variables.

    Raises:
        SystemExit: what is imported comes from somewhere else after all.
    """
    (scratch / "sitecustomize.py").write_text(_FORGET)
    variables = {**os.environ, **more, "PYTHONPATH": os.pathsep.join(map(str, (scratch, source)))}
    command = [sys.executable, "-c", _ASK]
    done = subprocess.run(
        command, cwd=scratch, env=variables, capture_output=True, text=True, check=False
    )
    found = done.stdout.split("\n")[:2] if done.returncode == 0 else [done.stderr.strip()[-300:]]
    if not all(Path(file).is_relative_to(source) for file in found):
        raise SystemExit(
            f"asked: rmeeto from {source}\ngiven: {', '.join(found)}\nwhy:   another copy comes first"
        )
    return variables
