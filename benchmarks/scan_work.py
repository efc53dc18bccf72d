"""What is timed of a selective scan: its inputs, forward, with its backward, and the backward alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rmeeto import ops
from rmeeto.ops import dispatch

from .loops import Scan, unbind_loop
from .registry import Work


@dataclass(frozen=True)
class Shape:
    """Images × steps × channels × states, with Mamba's usual step sizes and decays."""

    batch: int
    length: int
    channels: int
    states: int
    dtype: str = "fp32"

    def __str__(self) -> str:
        return f"{self.batch}x{self.length}x{self.channels}x{self.states}/{self.dtype}"

    @property
    def elements(self) -> int:
        """States over all images, steps and channels."""
        return self.batch * self.length * self.channels * self.states

    @property
    def moved(self) -> int:
        """Bytes of the rows that a forward reads and writes: u, delta, z and the output."""
        return 4 * self.batch * self.length * self.channels * (4 if self.dtype == "fp32" else 2)

    def inputs(self) -> tuple[list[Tensor], Tensor]:
        """(u, delta, A, B, C, D, z, delta_bias), and dLoss/d(out)."""
        generator = torch.Generator().manual_seed(0)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[self.dtype]

        def rows(width: int) -> Tensor:
            x = torch.randn(self.batch, self.length, width, generator=generator)
            return x.to(dtype).transpose(1, 2)

        decay = -torch.arange(1.0, self.states + 1).repeat(self.channels, 1)
        step = torch.rand(self.channels, generator=generator) * 4 - 6  # softplus: 0.002 … 0.13
        u, delta, B, C, z = (
            rows(w) for w in (self.channels, self.channels, self.states, self.states, self.channels)
        )
        return [u, delta, decay, B, C, torch.ones(self.channels), z, step], rows(self.channels)


def ours(backend: str) -> Scan:
    """`ops.selective_scan` on one backend."""

    def scan(*inputs: Tensor) -> Tensor:
        with dispatch.use(backend):
            return ops.selective_scan(*inputs, delta_softplus=True)

    return scan


def on_isa(isa: str, work: Work) -> Work:
    """The same work, backward too, by the native kernels of another instruction set."""
    native = dispatch.native()

    def run() -> Any:
        before = native.isa()
        native.set_isa(isa)
        try:
            return work()
        finally:
            native.set_isa(before)

    return run


def forward(scan: Scan, shape: Shape) -> Work:
    """One call without gradients."""
    inputs, _ = shape.inputs()
    return torch.inference_mode()(lambda: scan(*inputs))


def with_backward(scan: Scan, shape: Shape) -> Work:
    """One call and the gradients of all inputs."""
    inputs, grad = shape.inputs()
    for x in inputs:
        x.requires_grad_()

    def run() -> list[Tensor]:
        out = scan(*inputs)
        return [out.detach(), *torch.autograd.grad(out, inputs, grad)]

    return run


def backward(scan: Scan, shape: Shape) -> Work:
    """The gradients of all inputs alone."""
    inputs, grad = shape.inputs()
    for x in inputs:
        x.requires_grad_()
    out = scan(*inputs)
    return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)


def disagreement(works: Iterable[Work], shape: Shape) -> float:
    """Largest difference of outputs and gradients from the loop's, relative to each one's largest value.

    Args:
        works: made by `with_backward`.
    """
    truth = with_backward(unbind_loop, shape)()
    worst = 0.0
    for work in works:
        for a, b in zip(work(), truth, strict=True):
            worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    return worst
