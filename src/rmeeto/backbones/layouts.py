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
    if ema and not has_ema:
        held = ", ".join(str(k) for k in list(checkpoint)[:8])
        raise WeightsError(
            "the averaged weights (ema=True)",
            f"{path} with {held}",
            "there is no model_ema; drop ema",
        )
    wants_ema = ema or (ema is None and name in EMA_BY_DEFAULT)
    order = ("model_ema",) * bool(wants_ema) + ("model", "state_dict", "module")
    order += ("model_ema",) * (ema is None)
    source, tensors = next(
        ((key, found) for key in order if (found := _tensors(checkpoint.get(key)))),
        ("bare", _tensors(checkpoint)),
    )
    if not tensors:
        held = ", ".join(str(k) for k in list(checkpoint)[:8]) or "nothing"
        reason = "no tensors there, nor under model, model_ema, state_dict or module"
        raise WeightsError("a checkpoint", f"{path} with {held}", reason)
    return source, tensors, _ema_notes(source, has_ema, ema, name)


def _ema_notes(source: str, has_ema: bool, ema: bool | None, name: str) -> list[str]:
    if source == "model_ema" and ema is None:
        theirs = f"the published accuracy of {name} is theirs"
        why = theirs if name in EMA_BY_DEFAULT else "the file holds no others"
        return [f"averaged weights (model_ema) used: {why}"]
    if has_ema and source != "model_ema":
        return ["the file also holds averaged weights (model_ema), unused; ema=True takes them"]
    if name in EMA_BY_DEFAULT and not has_ema:
        return [
            f"no averaged weights (model_ema) found; the published accuracy of {name} is theirs"
        ]
    return []


def _tensors(entry: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, wrappers' prefixes taken off; empty if it is none."""
    if not isinstance(entry, Mapping):
        return {}
    found = {str(k): v for k, v in entry.items() if isinstance(v, Tensor)}
    inner = next((k for k in ("module", "state_dict", "model") if _tensors(entry.get(k))), None)
    if not found and inner:
        return _tensors(entry[inner])
    while prefix := next(
        (p for p in _PREFIXES if found and all(k.startswith(p) for k in found)), ""
    ):
        found = {key.removeprefix(prefix): value for key, value in found.items()}
    return found
