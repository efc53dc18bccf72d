"""The torch ops of the compiled norm: schema, shapes, gradient."""

import torch

from .. import dispatch
from . import native

_OPTIONS = "float eps, ScalarType dtype"
dispatch.declare("rms_norm", native_symbol="norm_backward")
dispatch.LIBRARY.define(f"rms_norm(Tensor x, Tensor weight, {_OPTIONS}) -> Tensor")
dispatch.LIBRARY.define(
    f"add_rms_norm(Tensor x, Tensor residual, Tensor weight, {_OPTIONS}) -> (Tensor, Tensor)"
)
dispatch.LIBRARY.define(
    "rms_norm_backward(Tensor grad, Tensor? grad_stream, Tensor stream, Tensor weight, float eps)"
    " -> (Tensor, Tensor)"
)
dispatch.LIBRARY.impl("rms_norm", native.norm, "CPU")
dispatch.LIBRARY.impl("add_rms_norm", native.add_norm, "CPU")
dispatch.LIBRARY.impl("rms_norm_backward", native.backward, "CPU")


@torch.library.register_fake("rmeeto::rms_norm")
def _(x, weight, eps, dtype):
    return x.new_empty(x.shape, dtype=dtype)


@torch.library.register_fake("rmeeto::add_rms_norm")
def _(x, residual, weight, eps, dtype):
    return x.new_empty(x.shape, dtype=dtype), x.new_empty(x.shape, dtype=torch.float32)


@torch.library.register_fake("rmeeto::rms_norm_backward")
def _(grad, grad_stream, stream, weight, eps):
    return stream.new_empty(stream.shape), weight.new_empty(weight.shape)


def _save_norm(ctx, inputs, output):
    x, weight, ctx.eps, _ = inputs
    ctx.save_for_backward(x, weight)


def _differentiate_norm(ctx, grad):
    x, weight = ctx.saved_tensors
    grad_x, grad_weight = torch.ops.rmeeto.rms_norm_backward(grad, None, x.float(), weight, ctx.eps)
    return grad_x.to(x.dtype), grad_weight, None, None


def _save_add_norm(ctx, inputs, output):
    x, _, weight, ctx.eps, _ = inputs
    ctx.type = x.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], weight)


def _differentiate_add_norm(ctx, grad, grad_stream):
    stream, weight = ctx.saved_tensors
    grad = torch.zeros_like(stream) if grad is None else grad
    grad, grad_weight = torch.ops.rmeeto.rms_norm_backward(
        grad, grad_stream, stream, weight, ctx.eps
    )
    return grad.to(ctx.type), grad, grad_weight, None, None


torch.library.register_autograd(
    "rmeeto::rms_norm", _differentiate_norm, setup_context=_save_norm, lib=dispatch.LIBRARY
)
torch.library.register_autograd(
    "rmeeto::add_rms_norm",
    _differentiate_add_norm,
    setup_context=_save_add_norm,
    lib=dispatch.LIBRARY,
)
