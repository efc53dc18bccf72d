"""The scan as the torch ops ``rmeeto::selective_scan`` and its backward: schema, shapes, gradient, cost."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from . import native, triton_body
from .layout import empty_grads, empty_results

_INPUTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "bool delta_softplus, bool reverse"
)
_GRADS = ", ".join(["Tensor"] * 8)

dispatch.declare("selective_scan", native_symbol="scan_forward", triton=True)
dispatch.LIBRARY.define(
    f"selective_scan({_INPUTS}, bool return_last_state) -> (Tensor out, Tensor last_state)"
)
dispatch.LIBRARY.define(f"selective_scan_backward(Tensor grad, {_INPUTS}) -> ({_GRADS})")


def _on_cpu(native_body, triton_body):
    """The native body; where Triton's kernels run on the CPU, too, the one asked for."""
    if not dispatch.TRITON_ON_CPU:
        return native_body

    def body(*args):
        return (triton_body if dispatch.requested() == "triton" else native_body)(*args)

    return body


_forward = _on_cpu(native.forward, triton_body.forward)
_backward = _on_cpu(native.backward, triton_body.backward)
dispatch.LIBRARY.impl("selective_scan", _forward, "CPU")
dispatch.LIBRARY.impl("selective_scan_backward", _backward, "CPU")
dispatch.LIBRARY.impl("selective_scan", triton_body.forward, "CUDA")
dispatch.LIBRARY.impl("selective_scan_backward", triton_body.backward, "CUDA")


@torch.library.register_fake("rmeeto::selective_scan", lib=dispatch.LIBRARY)
def _fake(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, return_last_state):
    return empty_results(u, A, return_last_state)


@torch.library.register_fake("rmeeto::selective_scan_backward", lib=dispatch.LIBRARY)
def _fake_backward(grad, u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse):
    return empty_grads(u, delta, A, B, C, D, z, delta_bias)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:8])
    ctx.flags = inputs[8], inputs[9]


def _differentiate(ctx, grad, grad_last_state):
    saved = ctx.saved_tensors
    grads = torch.ops.rmeeto.selective_scan_backward(grad, *saved, *ctx.flags)
    present = [g if s is not None else None for g, s in zip(grads, saved, strict=True)]
    return (*present, None, None, None)


torch.library.register_autograd(
    "rmeeto::selective_scan", _differentiate, setup_context=_save, lib=dispatch.LIBRARY
)


dispatch.refuse_second_derivative("selective_scan")


@register_flop_formula(torch.ops.rmeeto.selective_scan)
def _flops(u, delta, A, B, C, D=None, z=None, *rest, **kwargs) -> int:
    """9 operations a state and step, 1 a channel and step for each of D and z, all from shapes.

    Source: the counter published with Vision Mamba models (mamba-ssm's authors' formula).
    """
    return math.prod(u) * (9 * A[1] + (D is not None) + (z is not None))


@register_flop_formula(torch.ops.rmeeto.selective_scan_backward)
def _backward_flops(grad, u, delta, A, B, C, D=None, z=None, *rest, **kwargs) -> int:
    """Twice the forward, as is usual; that states are computed again is not counted."""
    return 2 * math.prod(u) * (9 * A[1] + (D is not None) + (z is not None))
