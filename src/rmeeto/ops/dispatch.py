"""Chooses the code that runs an op.

``RMEETO_BACKEND`` forces one backend for every op; unset, the best that fits the inputs runs. An explicit
choice that can't be met raises `BackendError`; an automatic one falls back, with one warning when the
kernels are missing altogether. Few ops have Triton kernels: where these are forced, the others run plain
torch code.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType

import torch  # before rmeeto._native: the module uses the OpenMP runtime that torch brings

from ..errors import BackendError

LIBRARY = torch.library.Library("rmeeto", "FRAGMENT")
"""Where every op of ours is defined."""

BACKENDS = ("reference", "torch", "native", "triton")
"""The definition; plain torch code; compiled CPU kernels; Triton kernels for CUDA tensors."""

TRITON_ON_CPU = os.environ.get("TRITON_INTERPRET") == "1"
"""Triton interprets its kernels on CPU tensors, slowly: for tests."""

OPS: dict[str, str | None] = {}
"""Declared op → function of ``rmeeto._native`` that its native body needs, if it has one."""

IN_TRITON: set[str] = set()
"""Declared ops that have Triton kernels."""

_forced: ContextVar[str | None] = ContextVar("rmeeto_backend", default=None)


class BackendWarning(UserWarning):
    """An op runs on a slower backend than this machine could offer."""


def declare(op: str, native_symbol: str | None = None, triton: bool = False) -> None:
    """Make an op known.

    Args:
        op: public name of the op.
        native_symbol: function of ``rmeeto._native`` that the op's native body needs; None if it has none.
        triton: whether the op has Triton kernels.
    """
    OPS[op] = native_symbol
    if triton:
        IN_TRITON.add(op)


@cache
def _load() -> tuple[ModuleType | None, str]:
    """Import the extension: (module, "") or (None, why not)."""
    try:
        module = importlib.import_module("rmeeto._native")
    except ModuleNotFoundError as error:
        if error.name != "rmeeto._native":
            return None, f"the extension needs {error.name}"
        return None, "this installation has no compiled kernels (no C++ compiler when it was built)"
    except ImportError as error:
        return None, f"the extension does not load: {error}"
    wanted = os.environ.get("RMEETO_ISA")
    if wanted and not module.set_isa(wanted):
        raise BackendError(
            f"kernels for the instruction set {wanted!r} (RMEETO_ISA)",
            f"this CPU and build offer {', '.join(module.available_isas())}",
            "choose one of these, or unset RMEETO_ISA for the best",
        )
    return module, ""


@cache
def _load_triton() -> str:
    """Import Triton; the empty string, or why that can't be."""
    try:
        importlib.import_module("triton")
    except ModuleNotFoundError as error:
        if error.name != "triton":
            return f"Triton needs {error.name}"
        return "Triton is not installed (`pip install 'rmeeto[triton]'`)"
    except ImportError as error:
        return f"Triton does not load: {error}"
    return ""


def native() -> ModuleType:
    """The compiled module; raises `BackendError` where there is none."""
    module, why = _load()
    if module is None:
        raise _refusal("native kernels", why)
    return module


def _refusal(asked: str, why: str) -> BackendError:
    return BackendError(
        asked, f"RMEETO_BACKEND={requested()}", f"{why}; RMEETO_BACKEND=torch works everywhere"
    )


def requested() -> str:
    """The backend asked for by `use` or ``RMEETO_BACKEND``, or "auto"."""
    name = _forced.get() or os.environ.get("RMEETO_BACKEND") or "auto"
    if name not in BACKENDS and name != "auto":
        raise BackendError(
            "a backend for the ops", f"{name!r}", f"choose {', '.join(BACKENDS)}, or leave it unset"
        )
    return name


@contextmanager
def use(backend: str | None) -> Iterator[None]:
    """Force a backend inside a ``with`` block (None: the automatic choice)."""
    token = _forced.set(backend or "auto")
    try:
        requested()
        yield
    finally:
        _forced.reset(token)


def missing(op: str, kernels: str = "native") -> str:
    """Why the op can have no "native" (or "triton") body here, or the empty string."""
    if kernels == "triton":
        return _load_triton() if op in IN_TRITON else "the op has no Triton kernel"
    symbol = OPS[op]
    if symbol is None:
        return "the op has no native kernel"
    module, why = _load()
    if module is not None and not hasattr(module, symbol):
        return f"the extension is older than this package (it lacks {symbol}); build it again"
    return why


def _warn(message: str) -> None:
    """Warn once for each message, whatever the filters say."""
    if message not in _WARNED:
        _WARNED.add(message)
        warnings.warn(message, BackendWarning, stacklevel=4)


_WARNED: set[str] = set()


@torch.compiler.assume_constant_result
def kernels_for(device: str) -> str:
    """Which kernels, "native" or "triton", an op that has both takes on a type of device."""
    wanted = requested()
    if wanted in ("native", "triton"):
        return wanted
    return "triton" if device == "cuda" else "native"


@torch.compiler.assume_constant_result
def choose(
    op: str, obstacle: str | None = None, loud: bool = False, kernels: str = "native"
) -> str:
    """The backend that shall run ``op`` now.

    Args:
        op: a declared op.
        obstacle: why the kernel can't take these inputs, as one clause; None if it can.
        loud: warn once if the obstacle makes the automatic choice fall back; without it the fallback
            is silent, for obstacles that are nobody's oversight, such as float64.
        kernels: what ``obstacle`` is about: "native", or for an op that has both what `kernels_for` says.

    Returns:
        ``kernels``, "torch" or "reference".

    Raises:
        BackendError: the kernels were asked for by name and can't run.
    """
    wanted = requested()
    if wanted in ("torch", "reference"):
        return wanted
    if wanted == "triton" and op not in IN_TRITON:
        return "torch"
    why = missing(op, kernels)
    if wanted == kernels and (why or obstacle):
        raise _refusal(f"the {kernels} kernel of {op}", why or obstacle or "")
    written = kernels == "triton" or OPS[op] is not None
    if (why and written) or (obstacle and loud):
        reason = why or obstacle
        _warn(f"rmeeto: {reason}; {op} runs plain torch code, many times slower (`rmeeto doctor`)")
    return "torch" if why or obstacle else kernels


def refuse_second_derivative(op: str) -> None:
    """Make differentiating ``rmeeto::<op>_backward`` a `BackendError` that says what does it."""

    def refuse(ctx, *grads):
        raise BackendError(
            f"a second derivative of {op}",
            "the native backend, which has the first one only",
            "differentiate twice with RMEETO_BACKEND=torch",
        )

    torch.library.register_autograd(f"rmeeto::{op}_backward", refuse, lib=LIBRARY)
