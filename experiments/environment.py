"""The process that long runs start in: one thread, quiet OpenMP, memory that is kept."""

from __future__ import annotations

import os
import sys

# A training step frees and allocates the same hundreds of megabytes again and again. By default
# glibc unmaps large blocks, and every page of them faults in anew. These settings are read once,
# at the start of a process; other C libraries ignore them.
_ALLOCATOR = ":".join((
    "glibc.malloc.hugetlb=1",
    "glibc.malloc.mmap_max=0",
    "glibc.malloc.trim_threshold=4000000000",
    "glibc.malloc.top_pad=268435456",
))  # fmt: skip
SETTINGS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "GLIBC_TUNABLES": _ALLOCATOR}


def missing(environment: dict[str, str]) -> dict[str, str]:
    """The settings that ``environment`` does not have; a value that is there already stays."""
    return {name: value for name, value in SETTINGS.items() if name not in environment}


def settle() -> None:
    """Start this program again with the settings, unless it has them all."""
    settings = missing(dict(os.environ))
    if settings:
        sys.stdout.flush()
        program = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, program, {**os.environ, **settings})
