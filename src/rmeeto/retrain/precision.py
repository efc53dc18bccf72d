"""The compute type of a forward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def compute_type(device: torch.device, precision: str) -> AbstractContextManager:
    """Autocast to bf16 on ``device`` if ``precision`` is ``"bf16"``; weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
