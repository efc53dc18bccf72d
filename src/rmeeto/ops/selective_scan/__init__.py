"""Selective scan, the recurrence inside Mamba: a definition, plain torch code, and CPU kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ShapeError
from .. import dispatch
from .body import selective_scan_torch
from .native import _TYPES
from .reference import selective_scan_reference

__all__ = ["selective_scan", "selective_scan_reference", "selective_scan_torch"]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    reverse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run a diagonal state-space model whose step size, input and output maps depend on the token.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t,  y_t = (C_t · h_t + D u_t) silu(z_t),
    dt = delta + delta_bias, through a softplus if asked.

    Args:
        u: (B,D,L) input; fastest as a transposed view of a (B,L,D) tensor, as are delta and z.
        delta: (B,D,L) step sizes before bias and softplus.
        A: (D,S) real decay rates, usually negative.
        B: (D,S) constant, (B,S,L) per token, or (B,G,S,L) per token and group of D/G channels.
        C: like B.
        D: (D,) skip weight.
        z: (B,D,L) gate.
        delta_bias: (D,) added to delta.
        delta_softplus: apply a softplus to the step sizes.
        return_last_state: also return the state after the last step.
        reverse: scan from the last token to the first.

    Returns:
        out (B,D,L) in u's dtype; with return_last_state also (B,D,S) in float32, without gradient. State
        and sums are float32 (float64 if u is), whatever the dtype of the inputs.

    Raises:
        ShapeError: shapes that don't fit each other, or complex numbers.
        BackendError: RMEETO_BACKEND=native can't be met.

    Source: Gu & Dao, "Mamba" (2023), §3.2 and Algorithm 2; arguments as in mamba-ssm's
    ``selective_scan_fn``. Differs in: ``reverse`` is new; complex A is refused.
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    backend = dispatch.choose("selective_scan", _obstacle(u, delta, A, B, C, z))
    if backend == "native":
        out, last = _run_native(
            u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, return_last_state
        )
    else:
        body = selective_scan_torch if backend == "torch" else selective_scan_reference
        out, last = body(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    return (out, last.detach()) if return_last_state else out


def _run_native(u, delta, A, B, C, D, z, delta_bias, *flags):
    """Call the op with weights in float32 and, for types the kernel lacks, activations too."""
    dtype = u.dtype
    u, delta, B, C, z = (_as_activation(x) for x in (u, delta, B, C, z))
    A, D, delta_bias = (_as_float(x) for x in (A, D, delta_bias))
    B, C = (_as_float(m) if m.ndim == 2 else m for m in (B, C))
    out, last = torch.ops.rmeeto.selective_scan(u, delta, A, B, C, D, z, delta_bias, *flags)
    return (out if out.dtype == dtype else out.to(dtype)), last


def _as_activation(x):
    return x if x is None or x.dtype in _TYPES else x.float()


def _as_float(x):
    return x if x is None or x.dtype == torch.float32 else x.float()


def _obstacle(*inputs: Tensor | None) -> str | None:
    """Why the CPU kernel can't take these tensors, or None."""
    for x in inputs:
        if x is None:
            continue
        if x.dtype == torch.float64:
            return "the kernel computes in float32 and an input is float64"
        if x.device.type not in ("cpu", "meta"):
            return f"the kernel runs on the CPU and an input is on {x.device}"
    return None


def _check(u, delta, A, B, C, D, z, delta_bias) -> None:
    """Raise `ShapeError` unless the shapes fit together."""
    if u.ndim != 3:
        raise _misfit("u of shape (B, D, L)", "u", u)
    batch, channels, length = u.shape
    for name, x in (("A", A), ("B", B), ("C", C)):
        if x.is_complex():
            raise ShapeError(
                f"selective_scan with a real {name}",
                f"{name} of type {x.dtype}",
                "only real state-space models are implemented; pass real A, B and C (Mamba's default)",
            )
    if A.ndim != 2 or A.shape[0] != channels:
        raise _misfit(f"A of shape (D, S) with D = {channels}", "A", A)
    for name, x in (("delta", delta), ("z", z)):
        if x is not None and x.shape != u.shape:
            raise _misfit(f"{name} shaped like u, {tuple(u.shape)}", name, x)
    for name, x in (("D", D), ("delta_bias", delta_bias)):
        if x is not None and x.shape != (channels,):
            raise _misfit(f"{name} of shape ({channels},)", name, x)
    groups = [_check_states(name, m, batch, channels, A.shape[1], length) for name, m in (("B", B), ("C", C))]
    if None not in groups and groups[0] != groups[1]:
        raise _misfit(f"C with as many groups as B, {groups[0]}", "C", C)


def _check_states(name: str, m: Tensor, batch: int, channels: int, states: int, length: int) -> int | None:
    """Groups of B or C (None if constant); raises if the shape is none of the three."""
    if m.ndim == 2 and m.shape == (channels, states):
        return None
    if m.ndim == 3 and m.shape == (batch, states, length):
        return 1
    if m.ndim == 4 and (m.shape[0], m.shape[2], m.shape[3]) == (batch, states, length):
        groups = m.shape[1]
        if groups > 0 and channels % groups == 0:
            return groups
    forms = f"({channels}, {states}), ({batch}, {states}, {length}) or ({batch}, G, {states}, {length})"
    raise _misfit(f"{name} of shape {forms} with G dividing {channels}", name, m)


def _misfit(asked: str, name: str, x: Tensor) -> ShapeError:
    return ShapeError(
        f"selective_scan with {asked}",
        f"{name} of shape {tuple(x.shape)}",
        "D channels, S states, L steps must agree in all inputs; activations are (B, D, L), not (B, L, D)",
    )
