"""The torch ops of the fused two-way mixing: schema, shapes, gradient, FLOPs."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from . import native

_WAYS = "Tensor[] ahead, Tensor[] back"
dispatch.declare("bidirectional_mamba", native_symbol="mixer_backward")
dispatch.LIBRARY.define(
    f"bidirectional_mamba(Tensor xz, {_WAYS}, bool keep) -> (Tensor out, Tensor projected)"
)
dispatch.LIBRARY.define(
    "bidirectional_mamba_backward(Tensor grad, Tensor xz, Tensor projected, "
    f"{_WAYS}) -> (Tensor, Tensor[], Tensor[])"
)
dispatch.LIBRARY.impl("bidirectional_mamba", native.forward, "CPU")
dispatch.LIBRARY.impl("bidirectional_mamba_backward", native.backward, "CPU")


@torch.library.register_fake("rmeeto::bidirectional_mamba", lib=dispatch.LIBRARY)
def _fake(xz, ahead, back, keep):
    return native.empty_results(xz, ahead, keep)


@torch.library.register_fake("rmeeto::bidirectional_mamba_backward", lib=dispatch.LIBRARY)
def _fake_backward(grad, xz, projected, ahead, back):
    return xz.new_empty(xz.shape), *([p.new_empty(p.shape) for p in way] for way in (ahead, back))


def _save(ctx, inputs, output) -> None:
    xz, ahead, back, _ = inputs
    ctx.count = len(ahead)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(xz, output[1], *ahead, *back)


def _differentiate(ctx, grad, _):
    if grad is None:
        return None, None, None, None
    xz, projected, *weights = ctx.saved_tensors
    ahead, back = weights[: ctx.count], weights[ctx.count :]
    grads = torch.ops.rmeeto.bidirectional_mamba_backward(grad, xz, projected, ahead, back)
    return (*grads, None)


torch.library.register_autograd(
    "rmeeto::bidirectional_mamba", _differentiate, setup_context=_save, lib=dispatch.LIBRARY
)


dispatch.refuse_second_derivative("bidirectional_mamba")


def projection_flops(xz, ahead, *rest, **kwargs) -> int:
    """Multiplications and additions of the matrix products of both directions, from shapes."""
    tokens, (projected, channels), rank = math.prod(xz[:2]), ahead[2], ahead[3][1]
    return 2 * 2 * tokens * channels * (projected + rank)


@register_flop_formula(torch.ops.rmeeto.bidirectional_mamba)
def forward_flops(xz, ahead, *rest, **kwargs) -> int:
    """What the ops of the definition count: products, convolution, scan with skip and gate."""
    channels, states = ahead[5]
    elements = math.prod(xz[:2]) * channels
    return projection_flops(xz, ahead) + 2 * elements * (2 * ahead[0][-1] + 9 * states + 2)


@register_flop_formula(torch.ops.rmeeto.bidirectional_mamba_backward)
def _backward_flops(grad, xz, projected, ahead, *rest, **kwargs) -> int:
    """Twice the forward, as is usual; that values are computed again is not counted."""
    return 2 * forward_flops(xz, ahead)
