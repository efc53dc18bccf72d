"""Run every check of the project: style, types, tests. Exit status 0 only if all of them pass."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = (
    [BIN / "ruff", "check", "."],
    [BIN / "pyright", "--pythonpath", sys.executable],
    [BIN / "python", "-m", "pytest", "-n", "2", "--dist", "worksteal"],
)


def main() -> int:
    """Run all checks, the tests last so that their summary closes the output."""
    # Spinning OpenMP threads of two test workers on two cores cost more than they compute.
    env = {
        **os.environ,
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    failed = [
        check
        for check in CHECKS
        if subprocess.run(check, cwd=ROOT, env=env, check=False).returncode
    ]
    for check in failed:
        print("FAILED:", " ".join(str(part) for part in check))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
