"""Chooses the code that runs an op, and says why.

``RMEETO_BACKEND`` forces one backend for every op; unset, the best that fits the inputs runs. An explicit
choice that can't be met raises `BackendError`; an automatic one falls back, with one warning when the
native kernels are missing altogether.
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

BACKENDS = ("reference", "torch", "native")
"""The definition; plain torch code; compiled CPU kernels."""

_OPS: dict[str, str | None] = {}
_forced: ContextVar[str | None] = ContextVar("rmeeto_backend", default=None)


class BackendWarning(UserWarning):
    """An op runs on a slower backend than this machine could offer."""


def declare(op: str, native_symbol: str | None = None) -> None:
    """Make an op known to `explain`.

    Args:
        op: public name of the op.
        native_symbol: function of ``rmeeto._native`` that the op's native body needs; None if it has none.
    """
    _OPS[op] = native_symbol


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


def missing(op: str) -> str:
    """Why the op can have no native body here, or the empty string."""
    symbol = _OPS[op]
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
def choose(op: str, obstacle: str | None = None, loud: bool = False) -> str:
    """The backend that shall run ``op`` now.

    Args:
        op: a declared op.
        obstacle: why the native kernel can't take these inputs, as one clause; None if it can.
        loud: warn once if the obstacle makes the automatic choice fall back; without it the fallback
            is silent, for obstacles that are nobody's oversight, such as float64.

    Returns:
        "native", "torch" or "reference".

    Raises:
        BackendError: the native backend was asked for by name and can't run.
    """
    wanted = requested()
    if wanted in ("torch", "reference"):
        return wanted
    why = missing(op)
    if wanted == "native" and (why or obstacle):
        raise _refusal(f"the native kernel of {op}", why or obstacle or "")
    if (why and _OPS[op] is not None) or (obstacle and loud):
        reason = why or obstacle
        _warn(f"rmeeto: {reason}; {op} runs plain torch code, many times slower (`rmeeto doctor`)")
    return "torch" if why or obstacle else "native"


def explain() -> list[dict[str, str]]:
    """Which backend runs each op on CPU tensors, and why: one row {op, backend, isa, why} an op."""
    return [_explain(op) for op in sorted(_OPS)]


def _explain(op: str) -> dict[str, str]:
    try:
        wanted, why = requested(), missing(op)
        isa = "" if why else native().isa()
    except BackendError as error:
        return {"op": op, "backend": "none", "isa": "", "why": error.reason}
    if wanted in ("torch", "reference"):
        return {"op": op, "backend": wanted, "isa": "", "why": "asked for by RMEETO_BACKEND"}
    if why:
        backend = "none" if wanted == "native" else "torch"
        return {"op": op, "backend": backend, "isa": "", "why": why}
    asked = "asked for by RMEETO_BACKEND" if wanted == "native" else "the fastest available"
    return {"op": op, "backend": "native", "isa": isa, "why": asked}
