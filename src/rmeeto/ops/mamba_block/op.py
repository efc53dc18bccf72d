"""The torch op of a whole block: schema, shapes, FLOPs. It has no gradient."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import register_flop_formula

from .. import dispatch
from ..bidirectional_mamba import op as mixer
from . import native

dispatch.declare("mamba_block", native_symbol="block_forward")
dispatch.LIBRARY.define(
    "mamba_block(Tensor stream, Tensor norm, Tensor in_proj, Tensor out_proj, Tensor[] ahead, "
    "Tensor[] back, float eps, float scale, bool keep, "
    "bool keep_update) -> (Tensor out, Tensor projected, Tensor update)"
)
dispatch.LIBRARY.impl("mamba_block", native.forward, "CPU")


@torch.library.register_fake("rmeeto::mamba_block", lib=dispatch.LIBRARY)
def _fake(stream, norm, in_proj, out_proj, ahead, back, eps, scale, keep, keep_update):
    return native.empty_results(stream, ahead, keep, keep_update)


def product_flops(stream, norm, in_proj, out_proj, ahead, *rest, **kwargs) -> int:
    """Multiplications and additions of all matrix products, from shapes."""
    tokens = math.prod(stream[:2])
    outer = 2 * tokens * (math.prod(in_proj) + math.prod(out_proj))
    return outer + mixer.projection_flops((*stream[:2], in_proj[0]), ahead)


@register_flop_formula(torch.ops.rmeeto.mamba_block)
def _flops(stream, norm, in_proj, out_proj, ahead, *rest, **kwargs) -> int:
    """What the ops of the definition count: the products and all of the mixer, not the norm."""
    xz = *stream[:2], in_proj[0]
    products = product_flops(stream, norm, in_proj, out_proj, ahead)
    return products + mixer.forward_flops(xz, ahead) - mixer.projection_flops(xz, ahead)
