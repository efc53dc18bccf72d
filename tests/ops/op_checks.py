"""What ops with kernels are checked with: backends, threads, NaN in memory, float64 truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from rmeeto.errors import BackendError
from rmeeto.ops import dispatch

try:
    ISAS = tuple(dispatch.native().available_isas())
except BackendError:
    ISAS = ()
BACKENDS = ("torch", *(f"native-{isa}" for isa in ISAS))

needs_native = pytest.mark.skipif(not ISAS, reason="the native kernels are not built")


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Run on a backend, for the native one named with its instruction set: ``native-avx2``."""
    kind, _, isa = name.partition("-")
    before = dispatch.native().isa() if isa else ""
    if isa:
        dispatch.native().set_isa(isa)
    try:
        with dispatch.use(kind):
            yield
    finally:
        if isa:
            dispatch.native().set_isa(before)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Fill every fresh tensor and all kernel scratch with NaN: reading before writing shows."""
    dispatch.native().set_poison(True)
    torch.use_deterministic_algorithms(True)  # makes torch.empty give NaN
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        dispatch.native().set_poison(False)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def differentiate(
    function, inputs: list[Tensor], seed: int = 7
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, and gradients of a fixed random projection of them to the float inputs."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    outputs = function(*inputs)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64)
    for out in outputs:
        weights = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        total = total + (out.double() * weights).sum()
    gradients = torch.autograd.grad(total, inputs, materialize_grads=True)
    return [out.detach() for out in outputs], list(gradients)


def everything(function, inputs: list[Tensor]) -> list[Tensor]:
    """Outputs and gradients in one list."""
    outputs, gradients = differentiate(function, inputs)
    return outputs + gradients


def assert_near(got: Tensor, truth: Tensor, tolerance: float, what: str = "") -> None:
    """Compare with float64 truth, relative to its largest value; NaN never passes."""
    assert got.shape == truth.shape, what
    error = (got.double() - truth).abs()
    limit = tolerance * max(1.0, truth.abs().max().item()) if truth.numel() else 0.0
    assert bool((error <= limit).all()), f"{what}: error {error.max():.2e} above {limit:.2e}"
