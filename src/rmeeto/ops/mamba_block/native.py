"""Binding to the compiled block (csrc/block.h)."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dispatch
from ..bidirectional_mamba import native as mixer

CACHE_FLOATS = 1 << 17
"""Projections up to this size stay in a core's cache while images pass; larger ones are faster on their own."""


def hopeless(in_proj: Tensor, out_proj: Tensor) -> str | None:
    """Why the kernel is not for these projections now, whatever the rest is, or None; costs next to nothing."""
    if torch.is_grad_enabled():
        return "the kernel computes no gradient"
    if in_proj.numel() + out_proj.numel() > CACHE_FLOATS:
        return "projections larger than a core's cache are faster on their own"
    return None


def obstacle(stream: Tensor, weights, ahead, back) -> str | None:
    """Why the kernel can't take these inputs, as one clause, or None."""
    if why := hopeless(weights.in_proj, weights.out_proj):
        return why
    if torch.is_autocast_enabled(stream.device.type):
        return "matrix products in half precision are faster on their own"
    if stream.device.type not in ("cpu", "meta"):
        return f"the kernel runs on the CPU, the tensors are on {stream.device.type}"
    if any(t.dtype != torch.float32 for t in (stream, *weights, *ahead, *back)):
        return "the kernel takes float32"
    return mixer.obstacle(stream, ahead, back)


def empty_results(
    stream: Tensor, ahead: list[Tensor], keep: bool, keep_update: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for the new stream (B,L,C) and, if kept, (dt, B, C) of both directions and the update."""
    projected = (2, *stream.shape[:2], ahead[2].shape[0]) if keep else (0,)
    update = stream.shape if keep_update else (0,)
    return stream.new_empty(stream.shape), stream.new_empty(projected), stream.new_empty(update)


def forward(
    stream: Tensor, norm: Tensor, in_proj: Tensor, out_proj: Tensor,
    ahead: list[Tensor], back: list[Tensor], eps: float, scale: float, keep: bool, keep_update: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """CPU body of ``rmeeto::mamba_block``."""
    out, projected, update = empty_results(stream, ahead, keep, keep_update)
    if out.numel() == 0:
        return out, projected, update
    rows = mixer.rows(stream)
    norm, in_proj, out_proj = (p.contiguous() for p in (norm, in_proj, out_proj))
    ways = [[p.contiguous() for p in way] for way in (ahead, back)]
    dispatch.native().block_forward(
        mixer.sizes(rows, ways[0]),
        *(mixer.addresses(way) for way in ways),
        rows.data_ptr(),
        rows.stride(0),
        rows.stride(1),
        rows.shape[2],
        norm.data_ptr(),
        in_proj.data_ptr(),
        out_proj.data_ptr(),
        eps,
        scale,
        out.data_ptr(),
        update.data_ptr() if keep_update else 0,
        projected.data_ptr() if keep else 0,
        torch.get_num_threads(),
    )
    return out, projected, update
