"""The torch ops behind the norms: schema, bodies, gradient."""

import torch

from .. import dispatch
from . import native, reference, torch_body

_BODIES = {"native": native.forward, "torch": torch_body.forward, "reference": reference.forward}
_OPTIONS = "float eps, ScalarType dtype"
_ADD_ARGS = f"Tensor x, Tensor residual, Tensor weight, {_OPTIONS}"
dispatch.declare("rms_norm", native_symbol="norm_backward")
dispatch.LIBRARY.define(f"rms_norm(Tensor x, Tensor weight, {_OPTIONS}) -> Tensor")
dispatch.LIBRARY.define(f"add_rms_norm({_ADD_ARGS}) -> (Tensor, Tensor)")
dispatch.LIBRARY.define(
    "rms_norm_backward(Tensor grad, Tensor? grad_stream, Tensor stream, Tensor weight, float eps)"
    " -> (Tensor, Tensor)"
)


def _add_norm(x, residual, weight, eps, dtype):
    backend = dispatch.choose("rms_norm", native.obstacle(x, residual, dtype))
    return _BODIES[backend](x, residual, weight, eps, dtype)


def _norm(x, weight, eps, dtype):
    return _add_norm(x, None, weight, eps, dtype)[0]


def _backward(grad, grad_stream, stream, weight, eps):
    backend = dispatch.choose("rms_norm", native.obstacle(stream, None, grad.dtype))
    body = native if backend == "native" else torch_body
    return body.backward(grad, grad_stream, stream, weight, eps)


dispatch.LIBRARY.impl("rms_norm", _norm, "CompositeExplicitAutograd")
dispatch.LIBRARY.impl("add_rms_norm", _add_norm, "CompositeExplicitAutograd")
dispatch.LIBRARY.impl("rms_norm_backward", _backward, "CompositeExplicitAutograd")


def _stream_type(x):
    return torch.promote_types(x.dtype, torch.float32)


@torch.library.register_fake("rmeeto::rms_norm")
def _(x, weight, eps, dtype):
    return x.new_empty(x.shape, dtype=dtype)


@torch.library.register_fake("rmeeto::add_rms_norm")
def _(x, residual, weight, eps, dtype):
    return x.new_empty(x.shape, dtype=dtype), x.new_empty(x.shape, dtype=_stream_type(x))


@torch.library.register_fake("rmeeto::rms_norm_backward")
def _(grad, grad_stream, stream, weight, eps):
    return stream.new_empty(stream.shape), weight.new_empty(weight.shape)


def _save_norm(ctx, inputs, output):
    x, weight, ctx.eps, _ = inputs
    ctx.save_for_backward(x, weight)


def _differentiate_norm(ctx, grad):
    x, weight = ctx.saved_tensors
    stream = x.to(_stream_type(x))
    grad_x, grad_weight = torch.ops.rmeeto.rms_norm_backward(grad, None, stream, weight, ctx.eps)
    return grad_x.to(x.dtype), grad_weight, None, None


def _save_add_norm(ctx, inputs, output):
    x, residual, weight, ctx.eps, _ = inputs
    ctx.types = x.dtype, residual.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1], weight)


def _differentiate_add_norm(ctx, grad, grad_stream):
    stream, weight = ctx.saved_tensors
    grad = torch.zeros_like(stream) if grad is None else grad
    grad, grad_weight = torch.ops.rmeeto.rms_norm_backward(
        grad, grad_stream, stream, weight, ctx.eps
    )
    return grad.to(ctx.types[0]), grad.to(ctx.types[1]), grad_weight, None, None


torch.library.register_autograd(
    "rmeeto::rms_norm", _differentiate_norm, setup_context=_save_norm, lib=dispatch.LIBRARY
)
torch.library.register_autograd(
    "rmeeto::add_rms_norm",
    _differentiate_add_norm,
    setup_context=_save_add_norm,
    lib=dispatch.LIBRARY,
)
