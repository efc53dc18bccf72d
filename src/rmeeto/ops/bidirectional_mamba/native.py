"""The fused mixing on CPU tensors: kernels and matrix products over a few images at a time.

What passes between the steps stays in the cache: scratch for a few images is used again for the
next ones, both directions write to the same results, and what is cheap is computed again in the
backward pass. How the batch is cut depends on shapes only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import dispatch
from ..causal_conv1d import native as conv
from ..selective_scan import native as scan
from .gradients import GradientSums

_CHUNK_BYTES = 7 << 18
"""Size of one activation of the images worked on together: enough work for a call, little scratch."""


class Weights(NamedTuple):
    """One direction as the kernels read it: all contiguous; projections in the activations' type."""

    conv_weight: Tensor
    conv_bias: Tensor
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A: Tensor
    D: Tensor


def obstacle(xz: Tensor, ahead, back) -> str | None:
    """Why the fused op can't take these inputs, as one clause, or None."""
    weights = (*ahead, *back)
    if any(p.dtype not in scan.TYPES for p in weights):
        return "the kernel takes float32 and bfloat16 parameters"
    taps = (conv.obstacle(xz, way[0].flatten(1)) for way in (ahead, back))
    return next(filter(None, taps), None) or scan.obstacle(xz, *weights)


def empty_results(xz: Tensor, ahead: list[Tensor], keep: bool) -> tuple[Tensor, Tensor]:
    """Memory for the output (B,L,D) and, if kept, (dt, B, C) of both directions."""
    batch, length, width = xz.shape
    projected = (2, batch, length, ahead[2].shape[0]) if keep else (0,)
    return xz.new_empty(batch, length, width // 2), xz.new_empty(projected)


def forward(
    xz: Tensor, ahead: list[Tensor], back: list[Tensor], keep: bool
) -> tuple[Tensor, Tensor]:
    """CPU body of ``rmeeto::bidirectional_mamba``."""
    out, projected = empty_results(xz, ahead, keep)
    if out.numel() == 0:
        return out, projected
    xz, ways = _rows(xz), [[_float(p) for p in way] for way in (ahead, back)]
    batch, length, channels = out.shape
    (rank, states), taps = (ahead[place].shape[1] for place in (3, 5)), ahead[0].shape[-1]
    dispatch.native().mixer_forward(
        (batch, length, channels, states, rank, taps),
        xz.data_ptr(),
        xz.stride(0),
        xz.stride(1),
        xz.dtype == torch.bfloat16,
        *(tuple(p.data_ptr() for p in way) for way in ways),
        out.data_ptr(),
        projected.data_ptr() if keep else 0,
        torch.get_num_threads(),
    )
    return out, projected


def backward(
    grad: Tensor, xz: Tensor, projected: Tensor, ahead: list[Tensor], back: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """CPU body of ``rmeeto::bidirectional_mamba_backward``."""
    grad, rows, ways = _rows(grad), _rows(xz), _prepare(xz, ahead, back)
    sums = [GradientSums(way) for way in ways]
    grad_xz = rows.new_empty(rows.shape)
    images = _images(rows) if grad.numel() else 1
    scratch = [rows.new_empty(images, *grad.shape[1:]) for _ in range(4)]
    scratch.append(rows.new_empty(images, *projected.shape[2:]))
    for i in range(0, len(rows) if grad.numel() else 0, images):
        part = slice(i, i + images)
        for reverse, way in enumerate(ways):
            _backward_chunk(
                grad[part], rows[part], projected[reverse, part], way, bool(reverse),
                grad_xz[part], sums[reverse], *(s[: len(rows[part])] for s in scratch),
            )  # fmt: skip
    return grad_xz, sums[0].results(ahead), sums[1].results(back)


def _backward_chunk(
    grad, rows, dt_b_c, way, reverse, grad_rows, sums, u, delta, du, ddelta, d_dt_b_c
) -> None:
    """One direction of some images; the second one adds to the gradients of the first."""
    (x, z), (dx, dz) = rows.chunk(2, -1), grad_rows.chunk(2, -1)
    rank, states = way.dt_proj.shape[1], way.A.shape[1]
    d_dt, dB, dC = d_dt_b_c.split((rank, states, states), -1)
    _convolve(x, way, reverse, u)
    inputs = _scan_inputs(u, dt_b_c, way, z, delta)
    results = du, ddelta, sums.A, dB, dC, sums.D, dz, sums.dt_bias
    results = tuple(r.transpose(1, 2) if r.dim() == 3 else r for r in results)
    scan.run_backward(grad.transpose(1, 2), inputs, True, reverse, results, accumulate=reverse)
    torch.mm(_flat(ddelta), way.dt_proj, out=_flat(d_dt))
    sums.add_projections(_flat(d_dt_b_c), _flat(u), _flat(ddelta), _flat(dt_b_c[..., :rank]))
    _flat(du).addmm_(_flat(d_dt_b_c), way.x_proj)
    taps = dx, sums.conv_weight, sums.conv_bias
    conv.run_backward(
        du, x, way.conv_weight, way.conv_bias, True, reverse, taps, accumulate=reverse
    )
    sums.add_chunk()


def _prepare(xz: Tensor, *ways: list[Tensor]) -> list[Weights]:
    return [_prepare_one(xz.dtype, *way) for way in ways]


def _prepare_one(dtype, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D) -> Weights:
    taps, conv_bias, dt_bias, A_log, D = (
        p.float().contiguous() for p in (conv_weight.flatten(1), conv_bias, dt_bias, A_log, D)
    )
    x_proj, dt_proj = (p.to(dtype).contiguous() for p in (x_proj, dt_proj))
    return Weights(taps, conv_bias, x_proj, dt_proj, dt_bias, A_log.exp().neg_(), D)


def _images(xz: Tensor) -> int:
    """Images worked on together: chunks about equal, so that no small rest is left over."""
    image = xz[0].numel() // 2 * xz.element_size()
    chunks = -(-len(xz) // max(2, _CHUNK_BYTES // image))
    return -(-len(xz) // chunks)


def _convolve(x: Tensor, way: Weights, reverse: bool, u: Tensor) -> None:
    conv.run_forward(x, way.conv_weight, way.conv_bias, True, reverse, u)


def _scan_inputs(u, dt_b_c, way: Weights, z, delta):
    """What the scan takes, after computing delta into its memory."""
    rank, states = way.dt_proj.shape[1], way.A.shape[1]
    low_rank, B, C = dt_b_c.split((rank, states, states), -1)
    torch.mm(_flat(low_rank), way.dt_proj.t(), out=_flat(delta))
    u, delta, B, C = (t.transpose(1, 2) for t in (u, delta, B, C))
    return u, delta, way.A, B, C, way.D, None if z is None else z.transpose(1, 2), way.dt_bias


def _flat(rows: Tensor) -> Tensor:
    """(B,L,n) rows → (B·L,n), a view."""
    return rows.view(-1, rows.shape[-1])


def _float(parameter: Tensor) -> Tensor:
    """As the kernels read parameters; mostly they are that already."""
    ready = parameter.dtype is torch.float32 and parameter.is_contiguous()
    return parameter if ready else parameter.float().contiguous()


def _rows(x: Tensor) -> Tensor:
    """Rows whose channels lie side by side, without a copy if they do already."""
    return x if x.stride(2) == 1 else x.contiguous()
