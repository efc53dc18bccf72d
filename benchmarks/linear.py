"""The linear layers around the scan: torch's own product against the one that `ops.linear` chooses here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from rmeeto import ops
from rmeeto.ops import dispatch

from .limits import GEMMS, MachineLimits
from .registry import Benchmark, Case, Limit, Work


def _work(backend: str, rows: int, inputs: int, outputs: int, gradients: bool) -> Work:
    generator = torch.Generator().manual_seed(0)
    x, weight, grad = (
        torch.randn(size, generator=generator)
        for size in ((rows, inputs), (outputs, inputs), (rows, outputs))
    )

    def forward() -> torch.Tensor:
        with dispatch.use(backend), torch.inference_mode():
            return ops.linear(x, weight)

    def both() -> torch.Tensor:
        with dispatch.use(backend):
            out = ops.linear(x, weight)
            return torch.cat([g.flatten() for g in torch.autograd.grad(out, (x, weight), grad)])

    if gradients:
        x.requires_grad_(), weight.requires_grad_()
    return both if gradients else forward


def _case(rows: int, inputs: int, outputs: int, gradients: bool) -> Case:
    products = 3 if gradients else 1
    work = {
        label: _work(backend, rows, inputs, outputs, gradients)
        for label, backend in (("torch", "torch"), ("chosen", "auto"))
    }

    def limits(machine: MachineLimits) -> list[Limit]:
        flops = 2 * products * rows * inputs * outputs
        text = f"{flops * 1e-9:.2f} GFLOP at the measured {machine.fma_gflops:.0f} GFLOP/s"
        return [Limit("FMA peak", flops / machine.fma_gflops * 1e-9, text)]

    def error() -> float:
        plain, chosen = (w() for w in work.values())
        return ((plain - chosen).abs().max() / plain.abs().max()).item()

    return Case(work, "chosen", rows, "tokens", limits, error)


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part: Vim-Ti's outer projections at 32 images of 197 tokens, fp32."""
    for name in ("in_proj", "out_proj"):
        for kind, gradients in (("forward", False), ("forward+backward", True)):
            setup = partial(_case, *GEMMS[name], gradients)
            quick = name == "in_proj" and not gradients
            yield Benchmark(f"op/linear {kind}/{name}/fp32", setup, 3, quick=quick)
