"""A run's state in one file, replaced whole; and whether a run may go on from it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import fingerprint, to_dict
from ..data import ImageSource, Preprocessing
from ..errors import ConfigError, WeightsError
from ..storage import storage_error, write_atomic
from .recipe import Recipe
from .world import World

NAME = "checkpoint.pt"
FORMAT = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors and plain containers); a reader sees the old file or the new.

    Raises:
        StorageError: the disk is full, …; the old file is untouched.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint on the CPU, or None if there is no file; runs no code from it."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved_format = content["format"]
    except Exception as e:  # a damaged file can fail in any way
        why = f"{type(e).__name__}; delete it or pass --no-resume to start over"
        raise WeightsError("to resume from a checkpoint", str(path), why) from e
    if saved_format != FORMAT:
        raise WeightsError(
            f"a checkpoint of format {FORMAT}",
            f"{path} has format {saved_format}",
            "it is from another version; finish it there or pass --no-resume to start over",
        )
    return content


def clear(path: Path, keep: bool) -> None:
    """Remove what a killed process left half-written, and the checkpoint unless ``keep``."""
    try:
        for name in (path.name, "log.jsonl"):
            for left in path.parent.glob(f".{name}.*.tmp"):
                left.unlink()
        if not keep and path.exists():
            path.unlink()
    except OSError as e:
        raise storage_error(path, e) from e


def identity(
    model: nn.Module,
    recipe: Recipe,
    train: ImageSource,
    val: ImageSource | None,
    preprocessing: Preprocessing,
    teacher: nn.Module | None,
    world: World,
    outliers: ImageSource | None = None,
) -> dict[str, Any]:
    """All that decides a run's result, in plain values; a run resumes only if all is equal."""
    return {
        "recipe": recipe.decisive(),
        "model": describe(model),
        "data": {
            "train": train.fingerprint(),
            "validation": None if val is None else val.fingerprint(),
            "preprocessing": to_dict(preprocessing),
            **({} if outliers is None else {"outliers": outliers.fingerprint()}),
        },
        "teacher": None if teacher is None else {**describe(teacher), "weights": digest(teacher)},
        "processes": world.size,
    }


def describe(model: nn.Module) -> dict[str, Any]:
    """A model's settings, reduction and parameter shapes, without the values of its weights."""
    reduction = getattr(model, "reduction", None)
    return {
        "kind": type(model).__name__,
        "settings": _settings(getattr(model, "config", None)),
        "reduction": _settings(getattr(reduction, "config", reduction)),
        "shapes": fingerprint([[k, list(v.shape)] for k, v in model.state_dict().items()]),
    }


def _settings(config: Any) -> dict[str, Any] | str | None:
    if is_dataclass(config):
        return {"kind": type(config).__name__, **to_dict(config)}
    return None if config is None else repr(config)


def digest(model: nn.Module) -> str:
    """Sixteen hex digits that change with any weight."""
    state = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return state.hexdigest()


def check_same_run(path: Path, saved: dict[str, Any], identity: dict[str, Any], start: str) -> None:
    """Raise a `ConfigError` that names the first thing in which the saved run is another one.

    Args:
        path: of the checkpoint.
        saved: its content.
        identity: of the run that wants to go on from it.
        start: digest of the weights that it begins with; those that a finished run ended with
            will do as well.
    """
    found = _difference(saved["identity"], identity, "")
    if found is None and start not in (saved["start"], saved.get("final")):
        found = "the weights at the start", saved["start"], start
    if found is not None:
        name, old, new = found
        raise ConfigError(
            f"to resume the run in {path.parent}",
            f"{name}: {_shown(new)} now, {_shown(old)} there",
            "that is another run; choose another --out, or pass --no-resume to replace it",
        )


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _difference(old: Any, new: Any, name: str) -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            found = _difference(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    plain_old, plain_new = to_dict(old), to_dict(new)
    return None if plain_old == plain_new else (name, plain_old, plain_new)
