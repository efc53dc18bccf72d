"""The compiled scan on CPU tensors: addresses, strides and types for the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dispatch
from .layout import channels_last, empty_grads, empty_results, plain

TYPES = {torch.float32: 0, torch.bfloat16: 1}
"""What activations may be; weights are float32."""

_NO_ROWS = (0, 0, 0, 0)


def obstacle(*inputs: Tensor | None) -> str | None:
    """Why the kernel can't take these tensors, as one clause, or None."""
    for x in inputs:
        if x is None:
            continue
        if x.dtype is torch.float64:
            return "the kernel computes in float32 and an input is float64"
        if not (x.is_cpu or x.is_meta):
            return f"the kernel runs on the CPU and an input is on {x.device}"
    return None


# ---- inputs: address, strides, type


def _rows(x: Tensor | None) -> tuple[int, int, int, int]:
    if x is None:
        return _NO_ROWS
    return x.data_ptr(), x.stride(0), x.stride(2), TYPES[x.dtype]


def _states(m: Tensor) -> tuple[int, int, int, int, int, int, bool]:
    kind = TYPES[m.dtype]
    if m.ndim == 2:
        return m.data_ptr(), 0, 0, 0, 1, kind, True
    group = m.stride(1) if m.ndim == 4 else 0
    return m.data_ptr(), m.stride(0), group, m.stride(-1), m.stride(-2), kind, False


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _sizes(u: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[int, int, int, int, int]:
    groups = B.shape[1] if B.ndim == 4 else C.shape[1] if C.ndim == 4 else 1
    return u.shape[0], u.shape[2], u.shape[1], A.shape[1], groups


# ---- bodies


def forward(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, return_last_state):
    """CPU body of ``rmeeto::selective_scan``."""
    out, last = empty_results(u, A, return_last_state)
    if out.numel() == 0:
        return out, last.zero_()
    inputs = plain(u, delta, A, B, C, D, z, delta_bias)
    dispatch.native().scan_forward(
        *_addresses(inputs),
        delta_softplus,
        reverse,
        torch.get_num_threads(),
        _rows(out),
        _address(last if return_last_state else None),
    )
    return out, last


def backward(grad, u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse):
    """CPU body of ``rmeeto::selective_scan_backward``."""
    grads = empty_grads(u, delta, A, B, C, D, z, delta_bias)
    if u.numel() == 0:
        return tuple(g.zero_() for g in grads)
    inputs = plain(u, delta, A, B, C, D, z, delta_bias)
    grad = channels_last(grad)  # kept by name: the kernel gets only its address
    du, ddelta, dA, dB, dC, dD, dz, dbias = grads
    dispatch.native().scan_backward(
        *_addresses(inputs),
        delta_softplus,
        reverse,
        torch.get_num_threads(),
        _rows(grad),
        _rows(du),
        _rows(ddelta),
        dA.data_ptr(),
        _states(dB),
        _states(dC),
        _address(None if D is None else dD),
        _rows(None if z is None else dz),
        _address(None if delta_bias is None else dbias),
    )
    return grads


def _addresses(inputs):
    """Sizes and inputs as the kernels take them."""
    u, delta, A, B, C, D, z, delta_bias = inputs
    weights = _states(B), _states(C), _address(D), _rows(z), _address(delta_bias)
    return _sizes(u, A, B, C), _rows(u), _rows(delta), A.data_ptr(), *weights
