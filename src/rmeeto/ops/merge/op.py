"""The torch ops of compiled matching and merging: schema, shapes, gradients, FLOPs."""

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from . import native
from .body import share

dispatch.declare("bipartite_match", native_symbol="match")
dispatch.declare("merge_tokens", native_symbol="slot_gather")
dispatch.LIBRARY.define(
    "bipartite_match(Tensor features, Tensor protected, SymInt r, bool ordered) -> (Tensor, Tensor)"
)
dispatch.LIBRARY.define("slot_sum(Tensor x, Tensor? weight, Tensor assign, SymInt m) -> Tensor")
dispatch.LIBRARY.define("slot_gather(Tensor y, Tensor? weight, Tensor assign) -> Tensor")
dispatch.LIBRARY.define(
    "merge_tokens(Tensor tokens, Tensor size, Tensor assign, SymInt m) -> (Tensor, Tensor)"
)


dispatch.LIBRARY.impl("bipartite_match", native.bipartite_match, "CPU")
dispatch.LIBRARY.impl("slot_sum", native.slot_sum, "CPU")
dispatch.LIBRARY.impl("slot_gather", native.slot_gather, "CPU")
dispatch.LIBRARY.impl("merge_tokens", native.merge_tokens, "CPU")


@torch.library.register_fake("rmeeto::bipartite_match")
def _(features, protected, r, ordered):
    batch, tokens = protected.shape
    new = protected.new_empty
    return new(batch, tokens, dtype=torch.int64), new(batch, tokens - r, dtype=torch.int64)


@torch.library.register_fake("rmeeto::slot_sum")
def _(x, weight, assign, m):
    return x.new_empty(x.shape[0], m, x.shape[2])


@torch.library.register_fake("rmeeto::slot_gather")
def _(y, weight, assign):
    return y.new_empty(*assign.shape, y.shape[2])


@torch.library.register_fake("rmeeto::merge_tokens")
def _(tokens, size, assign, m):
    return tokens.new_empty(tokens.shape[0], m, tokens.shape[2]), size.new_empty(len(size), m)


def _save_sum(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:3])


def _differentiate_sum(ctx, grad):
    return torch.ops.rmeeto.slot_gather(grad, *ctx.saved_tensors), None, None, None


def _save_gather(ctx, inputs, output):
    ctx.m = inputs[0].shape[1]
    ctx.save_for_backward(*inputs[1:])


def _differentiate_gather(ctx, grad):
    return torch.ops.rmeeto.slot_sum(grad, *ctx.saved_tensors, ctx.m), None, None


def _save_merge(ctx, inputs, output):
    ctx.save_for_backward(inputs[1], output[1], inputs[2])


def _differentiate_merge(ctx, grad, grad_size):
    size, total, assign = ctx.saved_tensors
    weight = share(size, total, assign)
    return torch.ops.rmeeto.slot_gather(grad, weight, assign), None, None, None


for _name, _differentiate, _save in (
    ("slot_sum", _differentiate_sum, _save_sum),
    ("slot_gather", _differentiate_gather, _save_gather),
    ("merge_tokens", _differentiate_merge, _save_merge),
):
    torch.library.register_autograd(
        f"rmeeto::{_name}", _differentiate, setup_context=_save, lib=dispatch.LIBRARY
    )


@register_flop_formula(torch.ops.rmeeto.bipartite_match)
def _match_flops(features_shape, *args, **kwargs) -> int:
    batch, tokens, width = features_shape
    return 2 * batch * ((tokens + 1) // 2) * (tokens // 2) * width


@register_flop_formula([torch.ops.rmeeto.slot_sum, torch.ops.rmeeto.merge_tokens])
def _sum_flops(x_shape, *args, **kwargs) -> int:
    batch, tokens, channels = x_shape
    return 2 * batch * tokens * channels
