"""Published weights into a model: every layout in circulation, and a report of what was done."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import RmeetoError, WeightsError
from .embed import convert_channels, resize_pos_embed
from .layouts import choose_state
from .reading import locate, read_checkpoint, settings_of

if TYPE_CHECKING:
    from .base import Backbone
    from .config import BackboneConfig

# Tensors that give away a model of another kind whose other names would fit.
_OTHER_KINDS = {
    "rope.": "Vim's first release, of January 2024, computes otherwise; use a midclstok file",
    "dist_token": "distilled DeiT has a second class token; use the plain DeiT file",
}


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` found in a file and what it changed to make it fit."""

    path: str
    source: str
    """entry of the file that was used (model, model_ema, state_dict, module), or "bare" for none"""
    missing: tuple[str, ...] = ()
    """parameters that the file lacks: they keep their initial values"""
    unexpected: tuple[str, ...] = ()
    """tensors of the file that the model has no place for"""
    resized: tuple[str, ...] = ()
    """tensors resampled or converted, and how"""
    replaced: tuple[str, ...] = ()
    """parameters whose values in the file were not used, and why"""
    notes: tuple[str, ...] = ()
    """anything else that the user should know"""

    def warnings(self) -> list[str]:
        """One line for each thing that is not simply as published."""
        lines = [*self.resized, *self.replaced, *self.notes]
        if self.missing:
            lines.append(f"not in the file, left at initial values: {_listed(self.missing)}")
        if self.unexpected:
            lines.append(f"in the file but not in the model, ignored: {_listed(self.unexpected)}")
        return lines

    def __str__(self) -> str:
        return "\n  ".join([f"{self.path} [{self.source}]", *self.warnings()])


def load_weights(model: Backbone, weights: str | Path, *, ema: bool | None = None) -> LoadReport:
    """Load published weights, changing in place what has to change, and say what was done.

    The position embedding is resampled to the model's grid, the patch kernel converted to its
    image channels, and a head for another number of classes is left at its initial values.

    Args:
        model: to fill; also gets the report as ``model.load_report``.
        weights: .pth, .pt or .safetensors file, a saved model's folder, or
            ``hub:owner/repo/file``. Layouts: a bare state dict, or one under ``model``,
            ``model_ema``, ``state_dict`` or ``module``; a ``module.`` prefix is taken off.
        ema: use the averaged weights (``model_ema``); None = only for models whose published
            accuracy needs them and only when the file has them.

    Returns:
        the report.

    Raises:
        WeightsError: the file can't be read safely, is for another model, or lacks parameters.
    """
    path = locate(weights)
    checkpoint = read_checkpoint(path)
    source, tensors, notes = choose_state(checkpoint, path, model.config.name, ema)
    saved = _saved_config(path)
    notes += _family_note(model, saved.family if saved else settings_of(checkpoint).get("model"))
    fitted, resized, replaced = _fit(model, tensors, path, saved)
    _refuse_other_model(model, tensors, fitted, path)
    model.load_state_dict(fitted, strict=False)
    wanted = model.state_dict()
    report = LoadReport(
        str(path),
        source,
        missing=tuple(k for k in wanted if k not in tensors),
        unexpected=tuple(k for k in tensors if k not in wanted and not k.startswith("head.")),
        resized=tuple(resized),
        replaced=tuple(replaced),
        notes=tuple(notes),
    )
    model.load_report = report
    return report


def _saved_config(path: Path) -> BackboneConfig | None:
    """Settings of a model of ours beside its weights: they tell the grid of its patches."""
    beside = path.with_name("config.json")
    if path.name != "model.safetensors" or not beside.is_file():
        return None
    from .checkpoint import read_config

    try:
        return read_config(json.loads(beside.read_text()), str(beside))
    except (RmeetoError, ValueError, AttributeError):  # other projects use these file names too
        return None


def _fit(
    model: Backbone, tensors: dict[str, Tensor], path: Path, saved: BackboneConfig | None
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Tensors in the model's shapes as far as that is right, and what was resized and replaced."""
    wanted, resized, replaced = model.state_dict(), [], []
    fitted = {k: v for k, v in tensors.items() if k in wanted}
    if "pos_embed" in fitted:
        fitted["pos_embed"] = _fit_positions(model, fitted["pos_embed"], path, saved, resized)
    kernel = "patch_embed.proj.weight"
    if kernel in fitted:
        fitted[kernel] = _fit_kernel(fitted[kernel], wanted[kernel], resized)
    head = tensors.get("head.weight")
    if head is not None and model.num_classes != head.shape[0]:
        fitted = {k: v for k, v in fitted.items() if not k.startswith("head.")}
        new = f"a new one of {model.num_classes}" if model.num_classes else "none"
        replaced.append(f"head of {head.shape[0]} classes not used: the model has {new}")
    return fitted, resized, replaced


def _fit_positions(
    model: Backbone,
    pos_embed: Tensor,
    path: Path,
    saved: BackboneConfig | None,
    resized: list[str],
) -> Tensor:
    patches = pos_embed.shape[1] - 1 if pos_embed.dim() == 3 else 0
    side = math.isqrt(max(patches, 0))
    grid = (side, side) if side**2 == patches else model.grid
    slot = patches // 2 if model.config.class_token == "middle" else 0
    if saved is not None:
        grid, slot = saved.grid, saved.class_slot
    if grid == model.grid or pos_embed.shape[-1] != model.num_features:
        return pos_embed
    (rows, columns), (new_rows, new_columns) = grid, model.grid
    if rows * columns != patches:
        asked = f"weights for {model.config.name} with {new_rows}×{new_columns} patches"
        reason = "neither a square nor the model's own grid; use the img_size of the file"
        raise WeightsError(asked, f"{path} with {patches} positions", reason)
    resized.append(f"pos_embed resampled from {rows}×{columns} to {new_rows}×{new_columns} patches")
    return resize_pos_embed(pos_embed, (slot, model.config.class_slot), (grid, model.grid))


def _fit_kernel(kernel: Tensor, wanted: Tensor, resized: list[str]) -> Tensor:
    if kernel.dim() == 5 and kernel.shape[2] == 1:  # a video model's kernel over one frame
        kernel = kernel.squeeze(2)
    old, new = kernel.shape[1], wanted.shape[1]
    if kernel.dim() == 4 and old != new and kernel.shape[2:] == wanted.shape[2:]:
        resized.append(f"patch_embed converted from {old} to {new} image channels")
        return convert_channels(kernel, new)
    return kernel


def _refuse_other_model(
    model: Backbone, tensors: dict[str, Tensor], fitted: dict[str, Tensor], path: Path
) -> None:
    """Raise unless the layers are the model's and all but the head is there in the right shape."""
    asked = f"weights for {model.config.name}"
    for prefix, reason in _OTHER_KINDS.items():
        if any(key.startswith(prefix) for key in tensors):
            raise WeightsError(asked, f"{path} with {prefix.rstrip('.')}", reason)
    wanted = model.state_dict()
    hint = _looks_like(tensors)
    for key, value in fitted.items():
        if value.shape != wanted[key].shape:
            why = f"the model has {tuple(wanted[key].shape)}; {hint}"
            raise WeightsError(asked, f"{path} with {key} {tuple(value.shape)}", why)
    missing = [k for k in wanted if k not in fitted and not k.startswith("head.")]
    if missing:
        why = f"{len(missing)} parameters are missing; {hint}"
        raise WeightsError(asked, f"{path} without {missing[0]}", why)
    surplus = [k for k in tensors if k not in wanted and k.startswith(("layers.", "blocks."))]
    if surplus:
        why = f"the model has no such part, and {len(surplus)} like it would be left out; {hint}"
        raise WeightsError(asked, f"{path} with {surplus[0]}", why)


def _looks_like(tensors: dict[str, Tensor]) -> str:
    """Registered models that the tensors' names and sizes point to."""
    from .registry import BACKBONES

    width = tensors["cls_token"].shape[-1] if "cls_token" in tensors else None
    stem = "blocks." if any(k.startswith("blocks.") for k in tensors) else "layers."
    numbers = (k.split(".")[1] for k in tensors if k.startswith(stem))
    depth = 1 + max((int(n) for n in numbers if n.isdigit()), default=-1)
    near = [
        name
        for name in BACKBONES
        if (stem == "blocks.") == (BACKBONES.get(name).family == "vit")
        and (BACKBONES.get(name).embed_dim, BACKBONES.get(name).depth) == (width, depth)
    ]
    shape = f"width {width} and depth {depth}" if width and depth else "no model of ours"
    return f"the file looks like {shape}" + (f": try {' or '.join(near)}" if near else "")


def _family_note(model: Backbone, trained: str | None) -> list[str]:
    """Vim's and VideoMamba's files have the same names and shapes but not the same meaning."""
    name, mine = str(trained or "").lower(), model.config.family
    theirs = "videomamba" if "video" in name else "vim" if "vim" in name else mine
    if mine in ("vim", "videomamba") and theirs != mine:
        return [f"the file was trained as {name}, whose outputs differ from this model's"]
    return []


def _listed(names: tuple[str, ...]) -> str:
    rest = f", … ({len(names)} in all)" if len(names) > 4 else ""
    return ", ".join(names[:4]) + rest
