"""The torch op of oneDNN's product: schema, shapes, gradient, FLOPs."""

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from . import onednn

dispatch.LIBRARY.define("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor")
dispatch.LIBRARY.impl("linear", onednn.product, "CPU")


@torch.library.register_fake("rmeeto::linear")
def _(x, weight, bias):
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@register_flop_formula(torch.ops.rmeeto.linear)
def _flops(x, weight, *rest, **kwargs) -> int:
    """Twice the multiply-adds, from shapes."""
    return 2 * torch.Size(x).numel() * weight[0]


def _save(ctx, inputs, output):
    x, weight, _ = inputs
    ctx.save_for_backward(x, weight)


def _differentiate(ctx, grad):
    x, weight = ctx.saved_tensors
    of_x, of_weight, of_bias = ctx.needs_input_grad
    rows, inputs = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
    return (
        torch.ops.rmeeto.linear(grad, weight.t(), None) if of_x else None,
        onednn.transposed_product(rows, inputs) if of_weight else None,
        rows.sum(0) if of_bias else None,
    )


torch.library.register_autograd(
    "rmeeto::linear", _differentiate, setup_context=_save, lib=dispatch.LIBRARY
)
