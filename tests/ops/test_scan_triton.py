"""The Triton scan: numbers under Triton's interpreter, and that it compiles for a GPU nobody needs to have.

What neither can show: speed, races, and the rounding of a GPU's exponentials.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scan_cases import NAMES, scan_inputs

from rmeeto.ops import dispatch

HERE = Path(__file__).parent

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed (extra `triton`)"
)


@needs_triton
def test_numbers_under_the_interpreter():
    """In a process of its own: Triton reads TRITON_INTERPRET when it is imported."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", HERE / "scan_triton_cases.py"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.fixture
def sm_90(monkeypatch, tmp_path):
    """Launches compile for sm_90 and run nothing; gives the kernels in the order of their launches."""
    if dispatch.TRITON_ON_CPU:
        pytest.skip("TRITON_INTERPRET=1: nothing is compiled")
    triton = pytest.importorskip("triton")
    jit = pytest.importorskip("triton.runtime.jit")
    nvidia = pytest.importorskip("triton.backends.nvidia.compiler")
    try:
        nvidia.get_ptxas(90).path, triton.knobs.nvidia.cuobjdump.path
    except RuntimeError as error:
        pytest.skip(f"Triton can't make or read machine code here: {error}")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    device = SimpleNamespace(
        get_current_target=lambda: triton.backends.compiler.GPUTarget("cuda", 90, 32),
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
    )
    compiled, run = [], jit.JITFunction.run

    def compile_only(self, *args, grid, warmup, **options):
        compiled.append(run(self, *args, grid=grid, warmup=True, **options))
        return compiled[-1]

    monkeypatch.setattr(jit.JITFunction, "run", compile_only)
    monkeypatch.setattr(triton.runtime.driver, "_active", device)
    return compiled


def _resources(kernel, folder: Path) -> dict[str, int]:
    """Registers of a thread, and its bytes of spilled ones (STACK, LOCAL) and shared memory."""
    import triton

    cubin = folder / "kernel.cubin"
    cubin.write_bytes(kernel.asm["cubin"])
    said = subprocess.run(
        [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", cubin],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name: int(size) for name, size in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", said)}


@needs_triton
@pytest.mark.parametrize(
    ("case", "most"),
    [
        ({"states": 16}, {"forward": 64, "backward": 168}),
        ({"states": 16, "dtype": torch.bfloat16}, {"forward": 64, "backward": 168}),
        ({"states": 16, "constant": "BC"}, {"forward": 64, "backward": 168}),
        ({"states": 1, "groups": 3, "absent": NAMES[5:]}, {"forward": 48, "backward": 64}),
    ],
    ids=["float32", "bfloat16", "constant", "small"],
)
def test_compiles_for_sm_90(sm_90, tmp_path, record_property, case, most):
    from rmeeto.ops.selective_scan import triton_launch

    inputs = scan_inputs(2, 384, length=50, **case)
    tensors = [inputs.get(name) for name in NAMES]
    triton_launch.forward(*tensors, True, True, True)
    triton_launch.backward(inputs["u"], *tensors, True, True)
    for name, kernel in zip(("forward", "backward"), sm_90, strict=True):
        used = _resources(kernel, tmp_path)
        record_property(name, dict(used))
        assert used.pop("REG") <= 1.25 * most[name], used
        assert used == {"STACK": 0, "SHARED": 0, "LOCAL": 0}, name
    forward = sm_90[0].asm["ptx"]
    assert "shfl" not in forward
    assert "bar.sync" not in forward
