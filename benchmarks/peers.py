"""Baselines from other packages; each says why where it is not there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .loops import Scan, gated, terms, unbind_loop


def missing(package: str) -> str:
    """Why a package can't be used, or the empty string."""
    return "" if find_spec(package) else f"{package} is not installed"


def mambapy_scan(pscan: Callable[..., Tensor]) -> Scan:
    """The parallel scan of mambapy, with the same terms, skip and gate as the loops."""

    def scan(u, delta, A, B, C, D, z, bias):
        decays, enters = (x.transpose(1, 2) for x in terms(u, delta, A, B, bias))  # (B,L,D,S)
        states = pscan(decays, enters)
        y = (states @ C.float().transpose(1, 2).unsqueeze(-1)).squeeze(-1)
        return gated(y.transpose(1, 2), u, D, z)

    return scan


def torch_associative_scan(u, delta, A, B, C, D, z, bias) -> Tensor:
    """PyTorch's own associative scan, eager (its compiled form needs CUDA)."""
    from torch._higher_order_ops.associative_scan import associative_scan

    def combine(a, b):
        return a[0] * b[0], b[0] * a[1] + b[1]

    pairs = terms(u, delta, A, B, bias)
    states = associative_scan(combine, pairs, dim=2, combine_mode="generic")[1]
    return gated(torch.einsum("bdln,bnl->bdl", states, C.float()), u, D, z)


def peer_scans() -> tuple[dict[str, Scan], dict[str, str]]:
    """Scans of other packages by label, and why others are left out."""
    scans: dict[str, Scan] = {"associative_scan": torch_associative_scan}
    if why := missing("mambapy"):
        return scans, {"mambapy": why}
    return scans | {"mambapy": mambapy_scan(import_module("mambapy.pscan").pscan)}, {}


def compiled_loop() -> Scan:
    """`torch.compile` of the unbind loop: unrolls every step, so compiling takes a second a step."""
    return torch.compile(unbind_loop, fullgraph=True, dynamic=False)


def transformers_mixer(width: int, states: int) -> nn.Module:
    """The one-direction Mamba mixer of transformers, which falls back to a Python loop on the CPU."""
    mamba: ModuleType = import_module("transformers.models.mamba.modeling_mamba")
    config: Any = import_module("transformers").MambaConfig(
        hidden_size=width, state_size=states, expand=2, conv_kernel=4, use_bias=False
    )
    return mamba.MambaMixer(config, layer_idx=0)
