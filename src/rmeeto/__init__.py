"""Rebuild a faster Vision Mamba (or ViT) in minutes: merge tokens, re-train, prove it.

Names are loaded on first use, so importing the package costs no `import torch`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Public name → module that defines it. The one list: `__all__`, lazy loading and the API test read it.
_PUBLIC = {
    "BackboneConfig": "rmeeto.backbones",
    "create_model": "rmeeto.backbones",
    "list_models": "rmeeto.backbones",
    "load_model": "rmeeto.backbones",
    "save_model": "rmeeto.backbones",
    "RMeeTo": "rmeeto.reducers",
    "PruneRandom": "rmeeto.reducers",
    "PruneRedundant": "rmeeto.reducers",
    "PruneScore": "rmeeto.reducers",
    "Plan": "rmeeto.tokens",
    "Reduction": "rmeeto.tokens",
    "Schedule": "rmeeto.tokens",
    "TokenState": "rmeeto.tokens",
    "reduce_": "rmeeto.tokens",
    "restore_": "rmeeto.tokens",
    "open_source": "rmeeto.data",
    "Preprocessing": "rmeeto.data",
    "Recipe": "rmeeto.retrain",
    "predict": "rmeeto.evaluation",
    "compare_speed": "rmeeto.profiling",
    "count_flops": "rmeeto.profiling",
    "RunRecord": "rmeeto.reporting",
    "write_report": "rmeeto.reporting",
    "audit": "rmeeto.workflows",
    "rebuild": "rmeeto.workflows",
    "ops": "rmeeto.ops",
    "RmeetoError": "rmeeto.errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from . import ops
    from .backbones import BackboneConfig, create_model, list_models, load_model, save_model
    from .data import Preprocessing, open_source
    from .errors import RmeetoError
    from .evaluation import predict
    from .profiling import compare_speed, count_flops
    from .reducers import PruneRandom, PruneRedundant, PruneScore, RMeeTo
    from .reporting import RunRecord, write_report
    from .retrain import Recipe
    from .tokens import Plan, Reduction, Schedule, TokenState, reduce_, restore_
    from .workflows import audit, rebuild


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rmeeto' has no attribute {name!r}")
    module = importlib.import_module(_PUBLIC[name])
    value = module if _PUBLIC[name] == f"rmeeto.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
