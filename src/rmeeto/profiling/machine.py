"""What a measurement ran on, without names or paths that identify whose machine it is."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from ..ops.explain import explain, products


def describe_machine() -> dict[str, Any]:
    """Processor, memory, software and load as plain values for a record.

    Returns:
        cpu (model name, family and model number), cores (that this process may use), memory_gib, os, python, torch, isa
        (instruction set torch uses), threads, load (1, 5 and 15 minutes; above ``cores`` means
        that others compete), accelerators, and backends (kernels chosen by `rmeeto.ops`).
    """
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "os": f"{platform.system()} {platform.machine()}",
        "python": ".".join(map(str, sys.version_info[:3])),
        "torch": torch.__version__,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load": load(),
        "accelerators": _accelerators(),
        "backends": _backends(),
    }


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes; empty where the system has none."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []


def usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_NUMBERS = {"cpu family": "family", "model": "model"}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    # A virtual machine may call processors of several generations by one name.
    numbers = [f"{label} {facts[key]}" for key, label in _NUMBERS.items() if key in facts]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _accelerators() -> list[str]:
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _backends() -> dict[str, str]:
    """Op → backend and instruction set; not the reasons, which may hold paths."""
    rows = [*explain(), products()]
    found = {row["op"]: " ".join(filter(None, (row["backend"], row["isa"]))) for row in rows}
    if not torch.cuda.is_available():
        return found
    return {row["op"]: f"{found[row['op']]}; CUDA: {row['cuda'].split(' (')[0]}" for row in rows}
