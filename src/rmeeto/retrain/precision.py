"""The compute type of a forward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def resolve(device: torch.device, precision: str) -> str:
    """ "fp32" or "bf16"; "auto" is bf16 where matrix products in it are faster than in fp32.

    That is on GPUs that have it and on CPUs with instructions for its products (AMX, AVX512_BF16);
    elsewhere bf16 is emulated or gains nothing.
    """
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported(False) if device.type == "cuda" else _multiplies_bf16(device)
    return "bf16" if fast else "fp32"


def compute_type(device: torch.device, precision: str) -> AbstractContextManager:
    """Autocast to bf16 on ``device`` if ``precision`` comes to that; weights stay as they are."""
    bf16 = resolve(device, precision) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def _multiplies_bf16(device: torch.device) -> bool:
    ask = getattr(torch.cpu, "get_capabilities", dict)  # older releases can't tell: then fp32
    return device.type == "cpu" and any(ask().get(unit, False) for unit in ("amx_bf16", "avx512_bf16"))
