"""What a model must be like to be re-trained on given images."""

from __future__ import annotations

from torch import nn

from ..backbones.blocks import DropPath
from ..backbones.init import drop_path_rates
from ..data import ImageSource
from ..errors import ConfigError


def check_classes(model: nn.Module, source: ImageSource) -> None:
    """Refuse a head of another size than the number of classes."""
    outputs = getattr(model, "num_classes", len(source.classes))
    if outputs != len(source.classes):
        raise ConfigError(
            f"a model for the {len(source.classes)} classes of {source.name}",
            f"a head with {outputs} outputs",
            f"call model.reset_classifier({len(source.classes)}), or use the data it was made for",
        )


def set_drop_path(model: nn.Module, rate: float | None) -> None:
    """Give the model the recipe's stochastic depth, 0 rising to ``rate``; None leaves its own."""
    drops = [module for module in model.modules() if isinstance(module, DropPath)]
    if rate and not drops:
        raise ConfigError(
            f"drop_path {rate:g}",
            f"{type(model).__name__}, which has no stochastic depth",
            "leave the recipe's drop_path out, or set it to 0",
        )
    if rate is not None:
        for drop, own in zip(drops, drop_path_rates(rate, len(drops)), strict=True):
            drop.rate = own
