"""The torch ops of the compiled convolution: schema, shapes, gradient, FLOPs."""

import math

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from . import native

_ARGS = "Tensor x, Tensor weight, Tensor? bias, bool silu, bool reverse"
dispatch.declare("causal_conv1d", native_symbol="conv_backward")
dispatch.LIBRARY.define(f"causal_conv1d({_ARGS}) -> Tensor")
dispatch.LIBRARY.define(f"causal_conv1d_backward(Tensor grad, {_ARGS}) -> (Tensor, Tensor, Tensor)")
dispatch.LIBRARY.impl("causal_conv1d", native.forward, "CPU")
dispatch.LIBRARY.impl("causal_conv1d_backward", native.backward, "CPU")


def _like(x: Tensor) -> Tensor:
    batch, channels, length = x.shape
    return x.new_empty(batch, length, channels).transpose(1, 2)


@torch.library.register_fake("rmeeto::causal_conv1d")
def _(x, weight, bias, silu, reverse):
    return _like(x)


@torch.library.register_fake("rmeeto::causal_conv1d_backward")
def _(grad, x, weight, bias, silu, reverse):
    return _like(x), weight.new_empty(weight.shape), weight.new_empty(weight.shape[:1])


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _differentiate(ctx, grad):
    x, weight, bias = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = torch.ops.rmeeto.causal_conv1d_backward(
        grad, x, weight, bias, *ctx.options
    )
    return grad_x, grad_weight, None if bias is None else grad_bias, None, None


torch.library.register_autograd(
    "rmeeto::causal_conv1d", _differentiate, setup_context=_save, lib=dispatch.LIBRARY
)


@register_flop_formula(torch.ops.rmeeto.causal_conv1d)
def _flops(x_shape, weight_shape, *args, **kwargs) -> int:
    """Multiplications and additions of the products, as torch counts a convolution."""
    return 2 * math.prod(x_shape) * weight_shape[1]


@register_flop_formula(torch.ops.rmeeto.causal_conv1d_backward)
def _backward_flops(grad_shape, x_shape, weight_shape, *args, **kwargs) -> int:
    return 2 * _flops(x_shape, weight_shape)
