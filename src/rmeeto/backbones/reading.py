"""Checkpoint files as plain tensors and settings: nothing in them is ever executed."""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError

HUB_PREFIX = "hub:"
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".tar")

# Beside tensors and containers, training scripts store their arguments and a few numpy numbers.
_NUMPY_SCALAR: Any = np.float64(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    argparse.Namespace,
    np.dtype,
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
]


def locate(weights: str | Path) -> Path:
    """The local file behind a path, a saved model's folder, or ``hub:owner/repo/file``.

    Raises:
        WeightsError: there is no such file, or the hub can't be reached and holds no local copy.
    """
    if str(weights).startswith(HUB_PREFIX):
        return _from_hub(str(weights))
    path = Path(weights).expanduser()
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        near = [p.name for p in sorted(path.parent.glob("*")) if p.suffix in _SUFFIXES][:3]
        hint = f"that folder holds {', '.join(near)}" if near else "check the path"
        raise WeightsError("weights from a file", str(path), f"there is no such file; {hint}")
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The top level of a .pth, .pt or .safetensors file, tensors on the CPU.

    Raises:
        WeightsError: the file is cut off, is no checkpoint, or asks to run code when opened.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals(_ALLOWED):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise _refusal(path, e) from e
    except (SafetensorError, RuntimeError, EOFError, zipfile.BadZipFile, OSError) as e:
        raise _unreadable(path, e) from e
    except Exception as e:  # a broken pickle can fail anywhere in the unpickler
        raise _unreadable(path, e) from e
    if isinstance(found, Tensor) or not isinstance(found, Mapping):
        given = f"{path} holds one {type(found).__name__}"
        raise WeightsError("a checkpoint", given, "save a dict of tensors: model.state_dict()")
    return dict(found)


def settings_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The training arguments stored with a checkpoint, or an empty dict."""
    args = checkpoint.get("args")
    args = vars(args) if isinstance(args, argparse.Namespace) else args
    return dict(args) if isinstance(args, Mapping) else {}


def _refusal(path: Path, error: Exception) -> WeightsError:
    """The safe unpickler met something that is not plain data."""
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if name is None:
        return _unreadable(path, error)
    reason = f"opening it would run {name[1]}, which is refused; ask for a .safetensors file"
    return WeightsError("weights from a file", str(path), reason)


def _unreadable(path: Path, error: Exception) -> WeightsError:
    size = path.stat().st_size if path.exists() else 0
    detail = (str(error).splitlines() or [type(error).__name__])[0][:120]
    reason = f"not a whole .pth or .safetensors file ({detail}); download or save it again"
    return WeightsError("weights from a file", f"{path}, {size:,} bytes", reason)


def _from_hub(spec: str) -> Path:
    parts = spec.removeprefix(HUB_PREFIX).split("/")
    if len(parts) < 3 or not all(parts):
        raise WeightsError("weights from the hub", spec, "write hub:owner/repo/path/to/file")
    try:
        from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]
    except ImportError as e:
        reason = "huggingface_hub is not installed: pip install 'rmeeto[hub]', or give a local file"
        raise WeightsError("weights from the hub", spec, reason) from e
    try:
        return Path(hf_hub_download("/".join(parts[:2]), "/".join(parts[2:])))
    except Exception as e:
        reason = (
            f"{type(e).__name__}: no download and no local copy; fetch the file and give its path"
        )
        raise WeightsError("weights from the hub", spec, reason) from e
