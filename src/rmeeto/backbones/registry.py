"""Model names → configs, and building a model from its name."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..config import from_dict, to_dict
from ..registry import Registry
from .config import BackboneConfig

if TYPE_CHECKING:
    from .base import Backbone

_OURS = ("vim", "videomamba", "vit")
BACKBONES: Registry[BackboneConfig] = Registry(
    "model", "rmeeto.backbones", tuple(f"rmeeto.backbones.{name}" for name in _OURS)
)


def create_model(
    name: str,
    weights: str | Path | None = None,
    *,
    ema: bool | None = None,
    seed: int = 0,
    **overrides: Any,
) -> Backbone:
    """Build a model by its registered name.

    Args:
        name: one of `list_models()`.
        weights: published or saved weights (.pth, .safetensors, a saved model's folder, or
            ``hub:owner/repo/file``); None leaves the seeded initial weights.
        ema: take the averaged weights of a checkpoint; None = where published numbers need them.
        seed: of the initial weights and of stochastic depth; no global generator is used.
        **overrides: fields of the model's config (``img_size``, ``num_classes``, ``embed_dim`` …).

    Returns:
        the model, in training mode, on torch's default device; ``model.load_report`` says what
        loading did.

    Raises:
        UnknownNameError: no such model; names the nearest.
        ConfigError: no such setting, or a value out of range.
        WeightsError: the weights can't be read or don't fit.
    """
    base = BACKBONES.get(name)
    model = build(from_dict(type(base), {**to_dict(base), **overrides}), seed)
    if weights is not None:
        from .weights import load_weights

        load_weights(model, weights, ema=ema)
    return model


def build(config: BackboneConfig, seed: int = 0) -> Backbone:
    """A model of ``config`` with seeded initial weights, on torch's default device."""
    device = torch.get_default_device()
    with torch.device("meta"):  # layers would draw from the global generator
        model: Backbone = config.build()
    model.seed_drop_path(seed)
    if device.type == "meta":
        return model
    with torch.device("cpu"), torch.no_grad():
        model.to_empty(device="cpu")
        model.init_weights(torch.Generator().manual_seed(seed))
    return model.to(device)


def list_models(pattern: str = "*") -> list[str]:
    """Registered model names that match a shell pattern such as ``"vim_*"``, sorted."""
    return [name for name in BACKBONES.names() if fnmatch(name, pattern)]
