"""Re-training: recipes, the loop, checkpoints. Recipes need no torch; the rest loads on use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .presets import PRESETS, preset
from .progress import Advanced, Event, Finished, OnEvent, Saved, Started, Trained, Validated
from .recipe import Recipe, RecipeFile
from .result import RetrainResult

if TYPE_CHECKING:
    from .loop import retrain
    from .world import World

_LAZY = {"retrain": "loop", "World": "world"}

__all__ = [
    "PRESETS",
    "Advanced",
    "Event",
    "Finished",
    "OnEvent",
    "Recipe",
    "RecipeFile",
    "RetrainResult",
    "Saved",
    "Started",
    "Trained",
    "Validated",
    "World",
    "preset",
    "retrain",
]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
