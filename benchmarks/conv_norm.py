"""The small ops around the scan: convolution with SiLU, and residual addition with RMSNorm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from rmeeto import ops
from rmeeto.ops import dispatch

from .limits import MachineLimits
from .registry import Benchmark, Case, Limit, Work


def on(backend: str, work: Callable[[], Tensor]) -> Work:
    """The same work, always on one backend and without gradients."""

    def run() -> Tensor:
        with dispatch.use(backend), torch.inference_mode():
            return work()

    return run


def against_torch(work: Callable[[], Tensor], tokens: int, moved: int) -> Case:
    """Native against plain torch code; bound by ``moved`` bytes through the last-level cache."""

    def limits(machine: MachineLimits) -> list[Limit]:
        speed = machine.read_gbs["L3"]
        text = f"{moved / 2**20:.1f} MiB read and written at the measured {speed:.0f} GB/s"
        return [Limit("L3 bandwidth", moved / speed * 1e-9, text)]

    def error() -> float:
        plain, native = (on(backend, work)() for backend in ("torch", "native"))
        return ((plain - native).abs().max() / plain.abs().max()).item()

    candidates = {backend: on(backend, work) for backend in ("torch", "native")}
    return Case(candidates, "native", tokens, "tokens", limits, error, tolerance=1e-2)


def conv_case(batch: int, dtype: torch.dtype, length: int = 197, channels: int = 384) -> Case:
    """One direction's depthwise convolution of width 4 with SiLU."""
    x = torch.randn(batch, length, channels).to(dtype).transpose(1, 2)
    weight, bias = torch.randn(channels, 4), torch.randn(channels)
    work = partial(ops.causal_conv1d, x, weight.to(dtype), bias.to(dtype), "silu")
    return against_torch(work, batch * length, 2 * x.nbytes)


def norm_case(batch: int, dtype: torch.dtype, length: int = 197, width: int = 192) -> Case:
    """Residual stream in fp32 plus a block's output, and the norm of the sum."""
    x, stream = torch.randn(batch, length, width).to(dtype), torch.randn(batch, length, width)
    weight = torch.ones(width)

    def work() -> Tensor:
        return ops.add_rms_norm(x, stream, weight)[0]

    return against_torch(work, batch * length, 2 * (x.nbytes + stream.nbytes))


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part."""
    cases = {"conv and SiLU": conv_case, "add and RMSNorm": norm_case}
    for name, case in cases.items():
        for batch in (1, 32):
            for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
                setup = partial(case, batch, dtype)
                quick = batch == 32 and kind == "fp32"
                yield Benchmark(f"op/{name}/B={batch}/{kind}", setup, 2, quick=quick)
