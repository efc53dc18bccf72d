"""What one core of this machine can do: clock, FMA and exp throughput, caches, matrix products.

The loops are C++ (probe.cpp, built with the flags of the kernels' own instruction set); matrix
products are those of `ops.linear`. Each figure is the best of several short runs in processor time, since a limit
is what the machine reaches when nothing disturbs it.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rmeeto import ops
from rmeeto.ops import dispatch

HERE = Path(__file__).parent
_FLAGS = "-std=c++17 -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast -fPIC -shared"
_ISA_FLAGS = {
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx2": ["-march=x86-64-v3"],
    "generic": [],
}
BUFFERS = {"L1": 24 << 10, "L2": 1 << 20, "L3": 16 << 20, "memory": 256 << 20}
"""Bytes that are read again and again to measure a level's bandwidth."""

GEMMS = {
    "in_proj": (6304, 192, 768),
    "out_proj": (6304, 384, 192),
    "x_proj": (6304, 384, 44),
    "dt_proj": (6304, 12, 384),
    "square": (1536, 1536, 1536),
}
"""(rows, inputs, outputs): Vim-Ti's projections at 32 images of 197 tokens, and a large product."""


@dataclass(frozen=True)
class MachineLimits:
    """One core.

    Args:
        isa: instruction set of the kernels that were asked about.
        clock_ghz: from a chain of dependent multiplications.
        fma_gflops: fp32, two operations an FMA.
        exp_ns: one exponential of a full vector's, by the kernels' own polynomial.
        scan_ns, composite_ns: one state of the scan's inner loop, alone and with softplus, skip and
            gate, on data that stays in the L1 cache.
        read_gbs: level → bandwidth, GB/s. copy_gbs: torch's copy of 256 MiB, bytes read + written.
        gemm_gflops: type → shape of `GEMMS` → GFLOP/s of `ops.linear`.
    """

    isa: str
    clock_ghz: float
    fma_gflops: float
    exp_ns: float
    scan_ns: float
    composite_ns: float
    read_gbs: dict[str, float]
    copy_gbs: float
    gemm_gflops: dict[str, dict[str, float]]


class NoProbeError(Exception):
    """The machine's limits can't be measured here."""


def measure_limits() -> MachineLimits:
    """Measure, about 15 s; raises `NoProbeError` without a compiler or native kernels."""
    probe = _build()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(probe, dispatch.native().isa())
    finally:
        torch.set_num_threads(before)


def _measure(probe: ctypes.CDLL, isa: str) -> MachineLimits:
    lanes, states = probe.lanes(), probe.scan_elements()
    return MachineLimits(
        isa=isa,
        clock_ghz=probe.chain_cycles(1) * 1e-9 / best(probe.chain_cycles, 20_000) * 20_000,
        fma_gflops=probe.fmas(1) * 2 * lanes * 1e-9 / best(probe.fmas, 300_000) * 300_000,
        exp_ns=best(probe.exps, 50_000) / 50_000 / probe.exps(1) * 1e9,
        scan_ns=best(probe.scan_loop, 2_000) / 2_000 / states * 1e9,
        composite_ns=best(probe.scan_composite, 2_000) / 2_000 / states * 1e9,
        read_gbs={level: _read_gbs(probe, size) for level, size in BUFFERS.items()},
        copy_gbs=_copy_gbs(256 << 20),
        gemm_gflops={
            name: {shape: gemm_gflops(*sizes, dtype) for shape, sizes in GEMMS.items()}
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        },
    )


def best(work: Callable, *args: object, runs: int = 7) -> float:
    """Processor seconds of the fastest of several calls."""
    work(*args)
    times = []
    for _ in range(runs):
        start = time.process_time()
        work(*args)
        times.append(time.process_time() - start)
    return min(times)


def gemm_gflops(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> float:
    """GFLOP/s of one linear layer by the library that `ops.linear` chooses, called again and again."""
    x, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    with torch.inference_mode():
        return 2e-9 * rows * inputs * outputs / best(ops.linear, x, weight, runs=20)


def _read_gbs(probe: ctypes.CDLL, size: int) -> float:
    data = torch.ones(size // 4)
    turns = max(1, (64 << 20) // size)
    return size * turns * 1e-9 / best(probe.read_floats, data.data_ptr(), size // 4, turns)


def _copy_gbs(size: int) -> float:
    source = torch.ones(size // 4)
    return 2e-9 * size / best(torch.empty_like(source).copy_, source)


def _build() -> ctypes.CDLL:
    """The probe for the instruction set in use, built once for each version of its sources."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        raise NoProbeError("no C++ compiler to build benchmarks/probe.cpp with")
    if dispatch.missing("selective_scan"):
        raise NoProbeError(dispatch.missing("selective_scan"))
    sources = [HERE / "probe.cpp", *sorted((HERE.parent / "csrc").glob("*.h"))]
    isa = dispatch.native().isa()
    version = hashlib.sha256(b"".join(f.read_bytes() for f in sources)).hexdigest()[:16]
    library = HERE.parent / "build" / f"probe-{isa}-{version}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        defines = ["-DRM_ISA=probe", "-DRM_X86=0", f"-I{HERE.parent / 'csrc'}"]
        flags = [*_FLAGS.split(), *_ISA_FLAGS[isa], *defines]
        done = subprocess.run(
            [compiler, *flags, sources[0], "-o", library], capture_output=True, text=True
        )
        if done.returncode:
            raise NoProbeError(f"benchmarks/probe.cpp does not build: {done.stderr[-300:]}")
    probe = ctypes.CDLL(str(library))
    for name in ("chain_cycles", "fmas", "exps", "scan_loop", "scan_composite"):
        getattr(probe, name).argtypes = [ctypes.c_long]
        getattr(probe, name).restype = ctypes.c_long
    probe.lanes.restype = probe.scan_elements.restype = ctypes.c_long
    probe.read_floats.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long]
    probe.read_floats.restype = ctypes.c_float
    return probe
