"""Where published checkpoints keep their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import WeightsError

# Models whose published accuracy is that of the averaged weights.
EMA_BY_DEFAULT = frozenset({"vim_base_patch16_224"})
_PREFIXES = ("module.", "_orig_mod.")


def choose_state(
    checkpoint: Mapping[str, Any], path: Path, name: str, ema: bool | None
) -> tuple[str, dict[str, Tensor], list[str]]:
    """Pick the state dict of a checkpoint.

    Args:
        checkpoint: top level of the file.
        path: of the file, for messages.
        name: registered name of the model.
        ema: use the averaged weights; None = if the model is in `EMA_BY_DEFAULT`.

    Returns:
        name of the entry, its tensors without wrappers' prefixes, notes for the user.

    Raises:
        WeightsError: there are no weights, or no averaged ones though they were asked for.
    """
    has_ema = bool(_tensors(checkpoint.get("model_ema")))
    held = ", ".join(str(key) for key in list(checkpoint)[:8]) or "nothing"
    if ema and not has_ema:
        reason = "there is no model_ema; leave ema unset"
        raise WeightsError("the averaged weights (ema=True)", f"{path} with {held}", reason)
    wants_ema = ema or (ema is None and name in EMA_BY_DEFAULT)
    order = ["model_ema"] * bool(wants_ema) + ["model", "state_dict", "module"]
    order += ["model_ema"] * (ema is None)
    entries = [(key, _tensors(checkpoint.get(key))) for key in order]
    bare = ("bare", _tensors(checkpoint))
    source, tensors = next((entry for entry in entries if entry[1]), bare)
    if not tensors:
        reason = "no tensors there, nor under model, model_ema, state_dict or module"
        raise WeightsError("a checkpoint", f"{path} with {held}", reason)
    return source, tensors, _ema_notes(source, has_ema, ema, name)


def _ema_notes(source: str, has_ema: bool, ema: bool | None, name: str) -> list[str]:
    theirs = f"the published accuracy of {name} is theirs"
    if source == "model_ema" and ema is None:
        why = theirs if name in EMA_BY_DEFAULT else "the file holds no others"
        return [f"averaged weights (model_ema) used: {why}"]
    if has_ema and source != "model_ema":
        return ["the file also holds averaged weights (model_ema), unused; ema=True takes them"]
    if name in EMA_BY_DEFAULT and not has_ema:
        return [f"no averaged weights (model_ema) there; {theirs}"]
    return []


def _tensors(entry: Any, levels: int = 2) -> dict[str, Tensor]:
    """The tensors of a state dict, wrappers' prefixes taken off; empty if it is none."""
    if not isinstance(entry, Mapping) or levels == 0:
        return {}
    found = {str(key): value for key, value in entry.items() if isinstance(value, Tensor)}
    if not found:
        inner = (_tensors(entry.get(key), levels - 1) for key in ("module", "state_dict", "model"))
        return next((tensors for tensors in inner if tensors), {})
    for prefix in _PREFIXES * 2:  # wrappers come in any order
        if all(key.startswith(prefix) for key in found):
            found = {key.removeprefix(prefix): value for key, value in found.items()}
    return found
