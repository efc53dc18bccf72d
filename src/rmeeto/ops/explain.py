"""Says which backend runs each op on this machine, and why."""

from __future__ import annotations

import torch

from ..errors import BackendError
from .dispatch import IN_TRITON, OPS, TRITON_ON_CPU, missing, native, requested
from .linear import onednn as linear_library


def explain() -> list[dict[str, str]]:
    """One row {op, backend, isa, why, cuda} an op; all but ``cuda`` is about CPU tensors."""
    return [{**_on_cpu(op), "cuda": _on_cuda(op)} for op in sorted(OPS)]


def products() -> dict[str, str]:
    """The row of the linear layers, which have no kernel of ours: the library of their fp32 products."""
    onednn, why = _takes_onednn()
    cuda = "torch" if torch.cuda.is_available() else "no device"
    backend = "onednn" if onednn else "torch"
    return {"op": "linear", "backend": backend, "isa": "", "why": why, "cuda": cuda}


def _takes_onednn() -> tuple[bool, str]:
    try:
        forced = requested() in ("torch", "reference")
    except BackendError as error:
        return False, error.reason
    if forced:
        return False, "asked for by RMEETO_BACKEND"
    why_not = linear_library.missing()
    return not why_not, why_not or "MKL is slower on this processor"


def _on_cpu(op: str) -> dict[str, str]:
    try:
        wanted, why = requested(), missing(op)
        isa = "" if why else native().isa()
    except BackendError as error:
        return {"op": op, "backend": "none", "isa": "", "why": error.reason}
    if wanted in ("torch", "reference"):
        return {"op": op, "backend": wanted, "isa": "", "why": "asked for by RMEETO_BACKEND"}
    if wanted == "triton":
        return _triton_on_cpu(op)
    if why:
        backend = "none" if wanted == "native" else "torch"
        return {"op": op, "backend": backend, "isa": "", "why": why}
    asked = "asked for by RMEETO_BACKEND" if wanted == "native" else "the fastest available"
    return {"op": op, "backend": "native", "isa": isa, "why": asked}


def _triton_on_cpu(op: str) -> dict[str, str]:
    """The row of an op where RMEETO_BACKEND=triton."""
    backend, why = "triton", missing(op, "triton")
    if op not in IN_TRITON:
        backend = "torch"
    elif why or not TRITON_ON_CPU:
        backend, why = "none", why or "Triton kernels run on CUDA devices"
    return {"op": op, "backend": backend, "isa": "", "why": why or "asked for by RMEETO_BACKEND"}


def _on_cuda(op: str) -> str:
    """What runs the op on CUDA tensors; why it is not a kernel, in parentheses."""
    if not torch.cuda.is_available():
        return "no device"
    try:
        wanted = requested()
    except BackendError as error:
        return f"none ({error.reason})"
    if wanted in ("torch", "reference"):
        return wanted
    if wanted == "native":
        return "none (native kernels run on the CPU)"
    why = missing(op, "triton")
    fallback = "none" if wanted == "triton" and op in IN_TRITON else "torch"
    return f"{fallback} ({why})" if why else "triton"
