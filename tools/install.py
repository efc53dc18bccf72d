"""Make (or mend) the project's virtual environment; safe to run again after any interruption."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = str(ROOT / "constraints.txt")
TORCH = next(
    line for line in Path(CONSTRAINTS).read_text().splitlines() if line.startswith("torch==")
)


def works(python: Path, code: str) -> bool:
    """Whether ``python -c code`` runs."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def install(venv: Path) -> bool:
    """Create ``venv`` if needed and install everything into it; True when the result imports."""
    python = venv / "bin" / "python"
    if not works(python, "import pip"):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        CONSTRAINTS,
    ]
    # torch first and alone: once it is there, nothing else pulls another build of it.
    for wanted in ([TORCH], ["-e", f"{ROOT}[dev]"]):
        if subprocess.run([*pip, *wanted], check=False).returncode != 0:
            return False
    return works(python, "import torch, rmeeto.backbones")


def main() -> int:
    """Install, and once more from nothing when a half-installed environment got in the way."""
    if sys.version_info < (3, 11):  # noqa: UP036  (run by whatever Python there is)
        print(
            f"asked: Python 3.11 or newer\ngiven: {sys.version.split()[0]}\n"
            "why:   rmeeto needs it; run `make PYTHON=/path/to/python3.11`",
            file=sys.stderr,
        )
        return 1
    venv = Path(sys.argv[1] if len(sys.argv) > 1 else ".venv").absolute()
    print(f"installing into {venv.name} (about a minute) …", flush=True)
    if install(venv):
        return 0
    print("that did not work; trying once more from an empty environment …", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    return 0 if install(venv) else 1


if __name__ == "__main__":
    sys.exit(main())
