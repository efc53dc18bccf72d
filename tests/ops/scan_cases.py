"""Inputs for the selective scan, and its truth in float64."""

from __future__ import annotations

import torch
from op_checks import assert_near
from torch import Tensor

from rmeeto import ops
from rmeeto.ops.selective_scan import selective_scan_reference, selective_scan_torch

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def scan_inputs(
    batch: int = 2,
    channels: int = 4,
    states: int = 8,
    length: int = 16,
    groups: int | None = None,
    constant: str = "",
    absent: tuple[str, ...] = (),
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Random arguments: A = −U/2 and delta = U/2 as in mamba-ssm's tests, the rest normal.

    ``constant`` names those of B and C that don't depend on the token.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    def uniform(*shape):
        return 0.5 * torch.rand(*shape, generator=generator)

    def token_states(name):
        if name in constant:
            return normal(channels, states)
        shape = (batch, length, states) if groups is None else (batch, length, groups, states)
        return normal(*shape).movedim(1, -1).to(dtype)

    inputs = {
        "u": normal(batch, length, channels).transpose(1, 2).to(dtype),
        "delta": uniform(batch, length, channels).transpose(1, 2).to(dtype),
        "A": -uniform(channels, states),
        "B": token_states("B"),
        "C": token_states("C"),
        "D": normal(channels),
        "z": normal(batch, length, channels).transpose(1, 2).to(dtype),
        "delta_bias": uniform(channels),
    }
    return {name: x for name, x in inputs.items() if name not in absent}


def as_float64(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.double() for name, x in inputs.items()}


def grads(function, inputs: dict[str, Tensor], grad: Tensor, **options) -> dict[str, Tensor]:
    """Output ("out") and the gradient of every input."""
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    out = function(**leaves, **options)
    out = out[0] if isinstance(out, tuple) else out
    found = torch.autograd.grad(
        out, list(leaves.values()), grad.to(out.dtype), materialize_grads=True
    )
    return {"out": out.detach(), **dict(zip(leaves, found, strict=True))}


def cotangent(inputs: dict[str, Tensor], seed: int = 1) -> Tensor:
    """dLoss/d(out), the same for every dtype."""
    generator = torch.Generator().manual_seed(seed)
    batch, channels, length = inputs["u"].shape
    return torch.randn(batch, length, channels, generator=generator).transpose(1, 2)


def assert_scan_right(
    inputs: dict[str, Tensor], tolerance: float = 1e-5, long: bool = False, **options
) -> None:
    """Output and all gradients of `ops.selective_scan` against float64.

    Args:
        tolerance: relative to the largest value of the tensor compared.
        long: take the (tested) torch body as truth, whose backward is not quadratic in length.
    """
    grad = cotangent(inputs).to(inputs["u"].dtype)
    definition = selective_scan_torch if long else selective_scan_reference
    truth = grads(definition, as_float64(inputs), grad, **options)
    found = grads(ops.selective_scan, inputs, grad, **options)
    for name, expected in truth.items():
        reference = inputs["u"] if name == "out" else inputs[name]
        assert found[name].dtype == reference.dtype, name
        assert_near(found[name], expected, tolerance, name)
