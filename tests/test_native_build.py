"""Building and shipping the native kernels: present where they can be, fresh, used, and dispensable."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rmeeto.ops import dispatch

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "csrc"
COMPILER = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
CAN_BUILD = bool(COMPILER and shutil.which("cmake")) and SOURCES.is_dir()
FOUND = importlib.util.find_spec("rmeeto._native") is not None

needs_sources = pytest.mark.skipif(not SOURCES.is_dir(), reason="not a source checkout")
needs_backend = pytest.mark.skipif(
    importlib.util.find_spec("scikit_build_core") is None or not SOURCES.is_dir(),
    reason="scikit-build-core and a source checkout are needed to build",
)


@pytest.mark.skipif(not CAN_BUILD, reason="no compiler, CMake or sources here")
@pytest.mark.skipif(
    os.environ.get("RMEETO_PURE") == "1"
    or os.environ.get("RMEETO_BACKEND") in ("torch", "reference"),
    reason="a pure installation was asked for",
)
def test_the_extension_is_there_where_it_can_be():
    assert FOUND, "a compiler is here but no rmeeto._native: run csrc/dev_build.sh or pip install ."


@pytest.mark.skipif(not FOUND, reason="no extension")
def test_the_extension_loads():
    """Present but broken (another Python, missing symbols) must not pass as absent."""
    module, why = dispatch._load()
    assert module is not None, why
    assert module.isa() in module.available_isas()


@needs_sources
@pytest.mark.skipif(not FOUND, reason="no extension")
def test_the_extension_was_built_from_these_sources():
    files = sorted(p for p in SOURCES.iterdir() if p.suffix in (".cpp", ".h"))
    digests = "".join(hashlib.sha256(p.read_bytes()).hexdigest() for p in files)
    fresh = hashlib.sha256(digests.encode()).hexdigest()
    assert dispatch.native().source_hash == fresh, "the sources changed: run csrc/dev_build.sh"


@needs_sources
def test_kernels_keep_clear_of_shared_templates():
    """A std:: template compiled for AVX-512 is a weak symbol that could replace everyone's copy."""
    pending = [*SOURCES.glob("*_isa.cpp")]
    seen = set()
    while pending:
        path = pending.pop()
        text = re.sub(r"//.*", "", path.read_text())
        seen.add(path)
        used = set(re.findall(r"std::(\w+)", text))
        assert all(name in ("memcpy", "memset") or name.endswith("_t") for name in used), path.name
        headers = set(re.findall(r"#include <(\S+)>", text))
        assert headers <= {"cstddef", "cstdint", "cstring", "immintrin.h", "omp.h"}, path.name
        local = [SOURCES / name for name in re.findall(r'#include "(\S+)"', text)]
        pending += [p for p in local if p not in seen]


def _build(folder, path=None, **env):
    """`pip wheel` a copy of the project; returns the wheel's name and pip's output."""
    source = folder / "source"
    if not source.exists():
        shutil.copytree(SOURCES, source / "csrc")
        (source / "src" / "rmeeto").mkdir(parents=True)
        for name in ("errors.py", "__init__.py"):
            shutil.copy(ROOT / "src" / "rmeeto" / name, source / "src" / "rmeeto")
        shutil.copytree(ROOT / "src/rmeeto/ops", source / "src/rmeeto/ops")
        for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
            (source / name).write_text((ROOT / name).read_text() if (ROOT / name).exists() else "")
        (source / "src" / "rmeeto" / "_native.left-over.so").write_text("of an older build")
    environment = {k: v for k, v in os.environ.items() if k not in ("RMEETO_PURE", "CXX")}
    environment |= {"CMAKE_BUILD_PARALLEL_LEVEL": "1", **env}
    if path is not None:
        environment["PATH"] = str(path)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    command += ["-w", str(folder / "wheels"), "."]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "wheels").iterdir()
    return wheel, done.stdout + done.stderr


def _run(wheel, folder, code):
    """Run Python code on the unpacked wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RMEETO_")}
    environment |= {"PYTHONPATH": str(folder / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


SCAN = """
import torch
from rmeeto.errors import BackendError
from rmeeto.ops import dispatch
from rmeeto.ops.explain import explain
from rmeeto.ops.selective_scan import selective_scan
x = torch.ones(1, 3, 2)
arguments = x, x, -torch.ones(3, 2), torch.ones(1, 2, 2), torch.ones(1, 2, 2)
selective_scan(*arguments)
print(dispatch.__file__, explain()[-1])
with dispatch.use("native"):
    try:
        print("forced:", selective_scan(*arguments).shape)
    except BackendError as error:
        print("refused:", error.reason)
"""


def _assert_pure(wheel, folder):
    assert wheel.name.endswith("py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "_native" in name]
    code, text = _run(wheel, folder, SCAN)
    assert code == 0, text
    assert str(folder) in text
    assert text.count("no compiled kernels") == 3, text  # one warning, explained, refused
    assert "refused" in text


@needs_backend
def test_pure_on_request(tmp_path):
    wheel, _ = _build(tmp_path, RMEETO_PURE="1")
    _assert_pure(wheel, tmp_path)


@needs_backend
@pytest.mark.parametrize(
    "tools",
    [(), pytest.param(("cmake", "ninja"), marks=pytest.mark.slow)],
    ids=["nothing", "cmake only"],
)
def test_pure_without_a_compiler(tmp_path, tools):
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in tools:
        if shutil.which(tool):
            (programs / tool).symlink_to(shutil.which(tool))
    wheel, output = _build(tmp_path, path=programs)
    assert output.count("building without native kernels") >= 1
    _assert_pure(wheel, tmp_path)


@needs_backend
@pytest.mark.slow
def test_pure_with_a_broken_compiler(tmp_path):
    wheel, output = _build(tmp_path, CXX="/bin/false")
    assert "building without native kernels" in output
    _assert_pure(wheel, tmp_path)


@needs_backend
@pytest.mark.slow
@pytest.mark.skipif(not CAN_BUILD, reason="no compiler or CMake")
def test_the_wheel_has_kernels_that_run(tmp_path):
    wheel, _ = _build(tmp_path)
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if "_native" in name]
    assert len(found) == 1
    assert "left-over" not in found[0]
    code, text = _run(wheel, tmp_path, SCAN)
    assert code == 0, text
    assert "'backend': 'native'" in text
    assert "forced" in text


@needs_sources
@pytest.mark.slow
@pytest.mark.skipif(not CAN_BUILD, reason="no compiler or CMake")
def test_builds_without_openmp(tmp_path):
    """One thread then, and the same results."""
    pytest.importorskip("nanobind")
    directory = subprocess.check_output(
        [sys.executable, "-m", "nanobind", "--cmake_dir"], text=True
    )
    configure = [
        "cmake",
        "-S",
        str(ROOT),
        "-B",
        str(tmp_path),
        "-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON",
    ]
    configure += [f"-Dnanobind_DIR={directory.strip()}", f"-DPython_EXECUTABLE={sys.executable}"]
    for command in (configure, ["cmake", "--build", str(tmp_path), "-j1"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    code = f"""
import sys, torch
sys.path.insert(0, {str(tmp_path)!r})
import _native
assert not _native.openmp
sys.modules["rmeeto._native"] = _native
from rmeeto import ops
from rmeeto.ops import dispatch
torch.manual_seed(0)
x = torch.randn(4, 256, 128)
B = torch.randn(4, 16, 128)
arguments = x, x.abs(), -torch.rand(256, 16), B, B
with dispatch.use("native"):
    native = ops.selective_scan(*arguments)
with dispatch.use("torch"):
    torch.testing.assert_close(native, ops.selective_scan(*arguments), rtol=1e-4, atol=1e-4)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
