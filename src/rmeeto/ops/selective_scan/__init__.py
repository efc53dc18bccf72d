"""Selective scan, the recurrence inside Mamba: a definition, plain torch code, CPU and Triton kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dispatch
from . import native, op, triton_body  # noqa: F401  importing `op` defines the torch op
from .body import selective_scan_torch
from .checks import check
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
        BackendError: RMEETO_BACKEND=native or triton can't be met.

    Source: Gu & Dao, "Mamba" (2023), §3.2 and Algorithm 2; arguments as in mamba-ssm's
    ``selective_scan_fn``. Differs in: ``reverse`` is new; complex A is refused.
    """
    check(u, delta, A, B, C, D, z, delta_bias)
    kernels = dispatch.kernels_for(u.device.type)
    of = triton_body if kernels == "triton" else native
    obstacle = of.obstacle(u, delta, A, B, C, D, z, delta_bias)
    backend = dispatch.choose("selective_scan", obstacle, u.dtype != torch.float64, kernels)
    if backend == kernels:
        flags = delta_softplus, reverse, return_last_state
        out, last = _run_op(of.TYPES, u, delta, A, B, C, D, z, delta_bias, *flags)
    else:
        body = selective_scan_torch if backend == "torch" else selective_scan_reference
        out, last = body(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    return (out, last.detach()) if return_last_state else out


def _run_op(types, u, delta, A, B, C, D, z, delta_bias, *flags):
    """Call the op with weights in float32 and, for types the kernel lacks, activations too."""
    dtype = u.dtype
    B, C = (_as_float(m) if m.ndim == 2 else m for m in (B, C))
    u, delta, B, C, z = (_as_activation(x, types) for x in (u, delta, B, C, z))
    A, D, delta_bias = (_as_float(x) for x in (A, D, delta_bias))
    out, last = torch.ops.rmeeto.selective_scan(u, delta, A, B, C, D, z, delta_bias, *flags)
    return (out if out.dtype == dtype else out.to(dtype)), last


def _as_activation(x, types):
    return x if x is None or x.dtype in types else x.float()


def _as_float(x):
    return x if x is None or x.dtype == torch.float32 else x.float()
