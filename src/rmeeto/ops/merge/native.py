"""Bindings to the compiled matching and slot sums (csrc/tokens.h)."""

import torch
from torch import Tensor

from .. import dispatch
from .checks import bad_slot, too_many, unequal


def match_obstacle(features: Tensor, distance: str, kth: int) -> str | None:
    """Why the matching kernel can't take these inputs, or None."""
    if features.device.type not in ("cpu", "meta"):
        return f"the kernel runs on the CPU, the tensors are on {features.device.type}"
    if features.dtype not in (torch.float32, torch.bfloat16):
        return f"the kernel takes float32 and bfloat16, not {features.dtype}"
    if distance == "l1" or kth != 1:
        return "the kernel matches by cosine or l2 with the most similar target only"
    return None


def slot_obstacle(x: Tensor, weight: Tensor | None) -> str | None:
    """Why the slot kernels can't take these inputs, or None."""
    if x.device.type not in ("cpu", "meta"):
        return f"the kernel runs on the CPU, the tensors are on {x.device.type}"
    if x.dtype != torch.float32 or (weight is not None and weight.dtype != torch.float32):
        return "the kernel takes float32 rows and weights"
    return None


def bipartite_match(
    features: Tensor, protected: Tensor, r: int, ordered: bool
) -> tuple[Tensor, Tensor]:
    """Plan of every image by cosine."""
    features, protected = _dense_rows(features), _dense_rows(protected)
    batch, tokens, width = features.shape
    assign = torch.empty(batch, tokens, dtype=torch.int64)
    keep = torch.empty(batch, tokens - r, dtype=torch.int64)
    if batch == 0:
        return assign, keep
    free = dispatch.native().match(
        features.data_ptr(),
        protected.data_ptr(),
        assign.data_ptr(),
        keep.data_ptr(),
        batch,
        tokens,
        width,
        r,
        features.stride(0),
        features.stride(1),
        protected.stride(0),
        ordered,
        features.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    if free < 0:
        raise unequal()
    if r > free // 2:
        raise too_many(r, free)
    return assign, keep


def slot_sum(x: Tensor, weight: Tensor | None, assign: Tensor, m: int) -> Tensor:
    """Sum the weighted rows of each slot."""
    out = torch.empty(x.shape[0], m, x.shape[2])
    _sum(x, weight, assign, out, None)
    return out


def merge_tokens(tokens: Tensor, size: Tensor, assign: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Size-weighted mean and total size of each slot."""
    out, total = torch.empty(tokens.shape[0], m, tokens.shape[2]), torch.empty(tokens.shape[0], m)
    _sum(tokens, size, assign, out, total)
    return out, total


def _sum(x, weight, assign, out, total) -> None:
    x, assign = _dense_rows(x), assign.contiguous()
    weight = None if weight is None else _dense_rows(weight)
    valid = dispatch.native().slot_sum(
        x.data_ptr(),
        0 if weight is None else weight.data_ptr(),
        assign.data_ptr(),
        out.data_ptr(),
        0 if total is None else total.data_ptr(),
        x.shape[0],
        x.shape[1],
        out.shape[1],
        x.shape[2],
        x.stride(0),
        x.stride(1),
        0 if weight is None else weight.stride(0),
        torch.get_num_threads(),
    )
    if not valid:
        raise bad_slot("slot_sum", out.shape[1])


def slot_gather(y: Tensor, weight: Tensor | None, assign: Tensor) -> Tensor:
    """Give each row its slot's row times its weight, zero where it was dropped."""
    y, assign = _dense_rows(y), assign.contiguous()
    weight = None if weight is None else _dense_rows(weight)
    out = torch.empty(*assign.shape, y.shape[2])
    valid = dispatch.native().slot_gather(
        y.data_ptr(),
        0 if weight is None else weight.data_ptr(),
        assign.data_ptr(),
        out.data_ptr(),
        *assign.shape,
        y.shape[1],
        y.shape[2],
        y.stride(0),
        y.stride(1),
        0 if weight is None else weight.stride(0),
        torch.get_num_threads(),
    )
    if not valid:
        raise bad_slot("slot_gather", y.shape[1])
    return out


def _dense_rows(x: Tensor) -> Tensor:
    """The tensor with side-by-side values along its last axis, without a copy if they are."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()
