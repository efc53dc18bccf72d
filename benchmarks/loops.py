"""The baselines that everybody can write: PyTorch loops over the steps of a selective scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

import rmeeto.ops

Scan = Callable[..., Tensor]
"""(u, delta, A, B, C, D, z, delta_bias) → out, as `ops.selective_scan` with a softplus."""


def terms(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Decays and inputs of all steps at once, (B,D,L,S) both, as mamba-ssm's definition has them."""
    step = F.softplus(delta.float() + bias[:, None])
    decays = torch.exp(torch.einsum("bdl,dn->bdln", step, A))
    return decays, torch.einsum("bdl,bnl,bdl->bdln", step, B.float(), u.float())


def gated(y: Tensor, u: Tensor, D: Tensor, z: Tensor) -> Tensor:
    """Skip and gate, (B,D,L), in u's type."""
    return ((y + u.float() * D[:, None]) * F.silu(z.float())).to(u.dtype)


def unbind_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """The usual loop in mamba-ssm's own layout.

    Unbound once: indexing the steps instead makes autograd add a tensor of full size for each of them.
    """
    decays, enters = terms(u, delta, A, B, bias)
    h, ys = torch.zeros_like(enters[:, :, 0]), []
    steps = zip(decays.unbind(2), enters.unbind(2), C.float().unbind(2), strict=True)
    for decay, enter, leave in steps:
        h = decay * h + enter
        ys.append(torch.einsum("bdn,bn->bd", h, leave))
    return gated(torch.stack(ys, 2), u, D, z)


def steps_first_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """The same loop with the steps before the channels, so that every step is one block of memory."""
    x, step = u.float().transpose(1, 2), F.softplus(delta.float().transpose(1, 2) + bias)
    decays = torch.exp(step.unsqueeze(-1) * A).unbind(1)
    enters = ((step * x).unsqueeze(-1) * B.float().transpose(1, 2).unsqueeze(2)).unbind(1)
    leaves = C.float().transpose(1, 2).unsqueeze(2).unbind(1)
    h, ys = torch.zeros_like(enters[0]), []
    for decay, enter, leave in zip(decays, enters, leaves, strict=True):
        h = decay * h + enter
        ys.append((h * leave).sum(-1))
    return gated(torch.stack(ys, 2), u, D, z)


@contextmanager
def naive_scans() -> Iterator[None]:
    """Models run each scan by the unbind loop; all else, convolutions and norms too, stays as it is."""
    from rmeeto.backbones import mixers
    from rmeeto.ops.bidirectional_mamba import (
        reference,  # here: versions before it have other benchmarks
    )

    def scan(*inputs: Tensor, z, delta_bias, delta_softplus: bool, reverse: bool) -> Tensor:
        if not delta_softplus:
            raise ValueError("the loop always applies the softplus")
        u, delta, A, B, C, D = inputs
        if not reverse:
            return unbind_loop(u, delta, A, B, C, D, z, delta_bias)
        u, delta, B, C, z = (x.flip(-1) for x in (u, delta, B, C, z))
        return unbind_loop(u, delta, A, B, C, D, z, delta_bias).flip(-1)

    def mix(xz, ahead, back, features=None):
        out, found = reference.scan_both(xz, ahead, back)
        return out if features is None else (out, {k: found[k] for k in features})

    with (
        # Versions that take whole blocks through one kernel shall not.
        mock.patch.object(mixers, "fused_block", return_value=None, create=True),
        mock.patch.object(rmeeto.ops, "bidirectional_mamba", mix),
        mock.patch.object(reference, "selective_scan", scan),
    ):
        yield
