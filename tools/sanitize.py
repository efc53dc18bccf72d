"""Build the kernels with address and undefined-behaviour checks and run their tests on that build.

    python tools/sanitize.py [pytest arguments]        # make sanitize

Needs CMake, and GCC or Clang with their sanitizer runtimes. The build lies in build/sanitize, next to a copy of
the package, so the installed one stays as it is. Exit status 0: every test passed and no check fired.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from other_tree import environment

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "sanitize"
# Optimised as always, since that is the code that runs; a finding ends the program.
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
# torch's own compiler and the GPU kernels are no part of this, and both are slow under the checks.
TESTS = ["tests/ops", "-k", "not triton and not compile and not emulated and not export"]


def main() -> int:
    """Build, then test."""
    package = build()
    compiler = os.environ.get("CXX", "g++")
    runtimes = [_runtime(compiler, name) for name in ("libasan.so", "libubsan.so")]
    variables = environment(
        package.parent,
        BUILD,
        LD_PRELOAD=":".join(runtimes),
        ASAN_OPTIONS="detect_leaks=0",  # Python frees little at its end
        PYTHONMALLOC="malloc",
    )
    tests = sys.argv[1:] or TESTS
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def build() -> Path:
    """Compile into build/sanitize; returns the copied package with that extension in it."""
    import nanobind

    if shutil.which("cmake") is None:
        raise SystemExit("asked: a build with sanitizers\ngiven: no cmake on the PATH\nwhy:   it builds with it; "
                         "`pip install cmake` brings one")  # fmt: skip
    configure = [
        "cmake", "-S", ROOT, "-B", BUILD, "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={FLAGS}",
        f"-DPython_EXECUTABLE={sys.executable}", f"-Dnanobind_DIR={nanobind.cmake_dir()}",
    ]  # fmt: skip
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "-j", str(os.cpu_count())], check=True)
    package = BUILD / "package" / "rmeeto"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "rmeeto", package, ignore=shutil.ignore_patterns("_native*"))
    (extension,) = BUILD.glob("_native*.so")
    if b"__asan_report" not in extension.read_bytes():
        raise SystemExit(
            f"{extension} was built without the checks: does {FLAGS.split()[0]} work here?"
        )
    shutil.copy2(extension, package)
    return package


def _runtime(compiler: str, name: str) -> str:
    asked = [compiler, f"-print-file-name={name}"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
