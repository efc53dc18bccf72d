"""Published weights into a model: every layout in circulation, and a report of what was done."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import WeightsError
from .embed import convert_channels, resize_pos_embed
from .layouts import choose_state
from .reading import locate, read_checkpoint, settings_of

if TYPE_CHECKING:
    from .base import Backbone


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` found in a file and what it changed to make it fit."""

    path: str
    source: str
    """entry of the file that was used: "model", "model_ema", "state_dict", "module" or "bare\""""
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
        lines += [f"not in the file, left at initial values: {_listed(self.missing)}"] * bool(
            self.missing
        )
        unused = f"in the file but not in the model, ignored: {_listed(self.unexpected)}"
        return lines + [unused] * bool(self.unexpected)

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
    notes += _family_note(model, settings_of(checkpoint))
    fitted, done = _fit(model, tensors, path, _layout(path, model))
    wanted = model.state_dict()
    missing = tuple(k for k in wanted if k not in fitted and not k.startswith("head."))
    _refuse_other_model(model, tensors, fitted, missing, path)
    with torch.no_grad():
        model.load_state_dict(fitted, strict=False)
    report = LoadReport(
        str(path),
        source,
        missing=tuple(k for k in wanted if k not in tensors),
        unexpected=tuple(k for k in tensors if k not in wanted and not k.startswith("head.")),
        resized=tuple(done["resized"]),
        replaced=tuple(done["replaced"]),
        notes=tuple(notes),
    )
    model.load_report = report
    return report


Layout = tuple[tuple[int, int] | None, int | None]


def _layout(path: Path, model: Backbone) -> Layout:
    """Patch grid and class slot of a model saved beside its config; (None, None) for others."""
    beside = path.with_name("config.json")
    if path.name != "model.safetensors" or not beside.is_file():
        return None, None
    from .checkpoint import read_config

    saved = read_config(json.loads(beside.read_text()), str(beside))
    return saved.grid, saved.class_slot


def _fit(
    model: Backbone, tensors: dict[str, Tensor], path: Path, layout: Layout
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Tensors in the model's shapes as far as that is right; what doesn't fit stays as it is."""
    wanted, done = model.state_dict(), {"resized": [], "replaced": []}
    fitted = {k: v for k, v in tensors.items() if k in wanted}
    if "pos_embed" in fitted:
        fitted["pos_embed"] = _fit_positions(model, fitted["pos_embed"], layout, path, done)
    kernel = "patch_embed.proj.weight"
    if kernel in fitted:
        fitted[kernel] = _fit_kernel(fitted[kernel], wanted[kernel], model.config.in_chans, done)
    head = tensors.get("head.weight")
    if head is not None and (model.num_classes != head.shape[0]):
        fitted = {k: v for k, v in fitted.items() if not k.startswith("head.")}
        new = f"a new one of {model.num_classes}" if model.num_classes else "none"
        done["replaced"].append(f"head of {head.shape[0]} classes not used: the model has {new}")
    return fitted, done


def _fit_positions(
    model: Backbone, pos_embed: Tensor, layout: Layout, path: Path, done: dict[str, list[str]]
) -> Tensor:
    patches = pos_embed.shape[1] - 1 if pos_embed.dim() == 3 else 0
    side = math.isqrt(max(patches, 0))
    grid, slot = layout
    if grid is None:
        grid = (side, side) if side**2 == patches else model.grid
    if slot is None:
        slot = patches // 2 if model.config.class_token == "middle" else 0
    if grid == model.grid or pos_embed.shape[-1] != model.num_features:
        return pos_embed
    if grid[0] * grid[1] != patches:
        raise WeightsError(
            f"weights for {model.config.name} with {model.grid[0]}×{model.grid[1]} patches",
            f"{path} with {patches} positions",
            "they are neither a square nor the model's own grid; use the img_size of the file",
        )
    done["resized"].append(
        f"pos_embed resampled from {grid[0]}×{grid[1]} to {model.grid[0]}×{model.grid[1]} patches"
    )
    return resize_pos_embed(pos_embed, (slot, model.config.class_slot), (grid, model.grid))


def _fit_kernel(
    kernel: Tensor, wanted: Tensor, in_chans: int, done: dict[str, list[str]]
) -> Tensor:
    if kernel.dim() == 5 and kernel.shape[2] == 1:  # a video model's kernel over one frame
        kernel = kernel.squeeze(2)
    if kernel.dim() == 4 and kernel.shape[1] != in_chans and kernel.shape[2:] == wanted.shape[2:]:
        done["resized"].append(
            f"patch_embed converted from {kernel.shape[1]} to {in_chans} image channels"
        )
        return convert_channels(kernel, in_chans)
    return kernel


def _refuse_other_model(
    model: Backbone,
    tensors: dict[str, Tensor],
    fitted: dict[str, Tensor],
    missing: tuple[str, ...],
    path: Path,
) -> None:
    """Raise unless every parameter but the head's is there in the right shape."""
    asked = f"weights for {model.config.name}"
    if any(key.startswith("rope.") for key in tensors):
        reason = "that first release rotates positions and sums directions; use a midclstok file"
        raise WeightsError(asked, f"{path} of January 2024 (rope keys)", reason)
    wanted = model.state_dict()
    wrong = [k for k, v in fitted.items() if v.shape != wanted[k].shape]
    if not wrong and not missing:
        return
    key = wrong[0] if wrong else missing[0]
    given = f"{path} with {key} {tuple(fitted[key].shape)}" if wrong else f"{path} without {key}"
    why = f"the model has {tuple(wanted[key].shape)}" if wrong else f"{len(missing)} are missing"
    raise WeightsError(asked, given, f"{why}; {_looks_like(tensors)}")


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


def _family_note(model: Backbone, settings: dict[str, Any]) -> list[str]:
    """Vim's and VideoMamba's files have the same names and shapes but not the same meaning."""
    trained = str(settings.get("model", "")).lower()
    video = "video" in trained
    if trained and model.config.family in ("vim", "videomamba"):
        known = video or "vim" in trained
        if known and video != (model.config.family == "videomamba"):
            return [f"the file was trained as {trained}, whose outputs differ from this model's"]
    return []


def _listed(names: tuple[str, ...]) -> str:
    rest = f", … ({len(names)} in all)" if len(names) > 4 else ""
    return ", ".join(names[:4]) + rest
