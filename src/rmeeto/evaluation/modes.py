"""Run a model for measuring only: eval mode, no gradients, a precision; all undone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from ..errors import ConfigError

PRECISIONS: dict[str, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def autocast(device: torch.device, precision: str):
    """Context in which matrix products run in ``precision`` ("fp32", "bf16" or "fp16")."""
    if precision not in PRECISIONS:
        raise ConfigError("a precision", repr(precision), f"one of {', '.join(PRECISIONS)}")
    dtype = PRECISIONS[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def device_of(model: object) -> torch.device:
    """Device of a module's first parameter; the CPU for anything without parameters."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    first = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def evaluating(*models: object, gradients: bool = False) -> Iterator[None]:
    """Eval mode, without gradients by default; every submodule gets the mode back that it had.

    Args:
        models: modules; other callables are left alone.
        gradients: leave recording of gradients as the caller has it.
    """
    modules = [m for model in models if isinstance(model, nn.Module) for m in model.modules()]
    before = [m.training for m in modules]
    try:
        for module in modules:
            module.training = False
        with nullcontext() if gradients else torch.inference_mode():
            yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode
