"""Views, scratch and launches for the Triton kernels of the scan, and sums of the parts they leave."""

# kernel[grid](…) is beyond pyright.
# pyright: reportCallIssue=false, reportIndexIssue=false
from __future__ import annotations

import math

import torch
from torch import Tensor

from .layout import channels_last, empty_grads, empty_results, empty_rows, plain
from .triton_kernels import Rows, States, scan_backward, scan_forward

_BLOCK = 32
"""Channels of a program: one warp, so that sums over channels need no barrier."""

# Whether a·b + c rounds once is said here, because Triton's default changes between versions.
_PROGRAM = {"BLOCK": _BLOCK, "num_warps": 1, "enable_fp_fusion": True}

_STATES = 16
"""States of a launch, which a thread can hold in registers; more states take more launches."""


# ---- arguments of the kernels


def _rows(x: Tensor | None):
    """A (B,D,L) or (B,D) tensor."""
    return None if x is None else Rows(x, x.stride(0), x.stride(2) if x.ndim == 3 else 0)


def _states(m: Tensor):
    """A (D,S), (B,S,L) or (B,G,S,L) tensor."""
    if m.ndim == 2:
        return States(m, 0, 0, m.stride(0), m.stride(1), 0)
    group = m.stride(1) if m.ndim == 4 else 0
    return States(m, m.stride(0), group, 0, m.stride(-2), m.stride(-1))


def _parts(m: Tensor):
    """A (B,D,S) tensor, or (blocks of channels,B,L,G,S)."""
    if m.ndim == 3:
        return States(m, m.stride(0), 0, m.stride(1), m.stride(2), 0)
    block, image, step, group, state = m.stride()
    return States(m, image, group, block, state, step)


def _launches(states: int) -> list[slice]:
    return [slice(i, min(i + _STATES, states)) for i in range(0, max(states, 1), _STATES)]


def _some(m: Tensor, states: slice) -> Tensor:
    """These states of A, B, C or their gradients."""
    return m[:, states] if m.ndim == 2 else m[..., states, :]


def _grid(u: Tensor, B: Tensor, C: Tensor) -> tuple[int, int]:
    """Groups, and blocks of channels in each."""
    groups = max(m.shape[1] if m.ndim == 4 else 1 for m in (B, C))
    return groups, math.ceil(u.shape[1] // groups / _BLOCK)


def _empty_parts(m: Tensor, states: slice, u: Tensor, groups: int, blocks: int) -> Tensor:
    """Memory for the parts of the gradient of A, B or C."""
    batch, channels, length = u.shape
    count = states.stop - states.start
    if m.ndim == 2:
        return u.new_empty(batch, channels, count, dtype=torch.float32)
    return u.new_empty(blocks, batch, length, groups, count, dtype=torch.float32)


def _sum_parts(parts: Tensor, to: Tensor) -> None:
    total = parts.sum(0)
    if total.ndim == 4:
        total = total.permute(0, 2, 3, 1)
    to.copy_(total.squeeze(1) if total.ndim > to.ndim else total)


# ---- bodies


def forward(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, return_last_state):
    """Body of ``rmeeto::selective_scan``."""
    out, last = empty_results(u, A, return_last_state)
    if out.numel() == 0:
        return out, last.zero_()
    u, delta, A, B, C, D, z, delta_bias = plain(u, delta, A, B, C, D, z, delta_bias)
    batch, channels, length = u.shape
    groups, blocks = _grid(u, B, C)
    launches = _launches(A.shape[1])
    total = out if len(launches) == 1 else empty_rows(out, torch.float32)
    with torch.cuda.device_of(u):
        for states in launches:
            a, b, c = (_states(_some(m, states)) for m in (A, B, C))
            later = states.start > 0
            scan_forward[(batch * groups * blocks,)](
                _rows(u), _rows(delta), a, b, c, None if later else D, _rows(z), delta_bias,
                _rows(total), _parts(last[..., states]) if return_last_state else None,
                length, channels, groups, N=states.stop - states.start, SOFTPLUS=delta_softplus,
                REVERSE=reverse, ACCUMULATE=later, **_PROGRAM,
            )  # fmt: skip
    return out if total is out else out.copy_(total), last


def backward(grad, u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse):
    """Body of ``rmeeto::selective_scan_backward``."""
    grads = empty_grads(u, delta, A, B, C, D, z, delta_bias)
    if u.numel() == 0:
        return tuple(g.zero_() for g in grads)
    inputs = plain(u, delta, A, B, C, D, z, delta_bias)
    launches = _launches(A.shape[1])
    rows = [grads[0], grads[1], None if z is None else grads[6]]
    totals = rows
    if len(launches) > 1:
        totals = [x if x is None else empty_rows(x, torch.float32) for x in rows]
    vectors = [None if x is None else A.new_empty(u.shape[:2]) for x in (D, delta_bias)]
    with torch.cuda.device_of(u):
        for states in launches:
            _launch_backward(
                states, channels_last(grad), inputs, delta_softplus, reverse,
                [_some(g, states) for g in grads[2:5]], totals, vectors,
            )  # fmt: skip
    for to, total in zip(rows, totals, strict=True):
        if to is not total:
            to.copy_(total)
    for to, parts in zip((grads[5], grads[7]), vectors, strict=True):
        if parts is not None:
            to.copy_(parts.sum(0))
    return grads


def _launch_backward(states, grad, inputs, delta_softplus, reverse, weights, rows, vectors) -> None:
    """Write these states' gradients of A, B and C; sum rows (u, delta, z) and vectors over launches."""
    u, delta, A, B, C, D, z, delta_bias = inputs
    batch, channels, length = u.shape
    groups, blocks = _grid(u, B, C)
    programs, count = batch * groups * blocks, states.stop - states.start
    every = math.isqrt(length - 1) + 1  # the root of the length takes the least scratch
    scratch = A.new_empty(programs, math.ceil(length / every) + every, count, _BLOCK)
    a, b, c = (_states(_some(m, states)) for m in (A, B, C))
    parts = [_empty_parts(m, states, u, groups, blocks) for m in (A, B, C)]
    du, ddelta, dz = (_rows(x) for x in rows)
    later = states.start > 0
    scan_backward[(programs,)](
        _rows(grad), _rows(u), _rows(delta), a, b, c, None if later else D, _rows(z), delta_bias,
        du, ddelta, *(_parts(x) for x in parts), _rows(vectors[0]), dz, _rows(vectors[1]), scratch,
        length, every, channels, groups, N=count, SOFTPLUS=delta_softplus, REVERSE=reverse,
        ACCUMULATE=later, B_CONSTANT=B.ndim == 2, C_CONSTANT=C.ndim == 2, **_PROGRAM,
    )  # fmt: skip
    for part, to in zip(parts, weights, strict=True):
        _sum_parts(part, to)
