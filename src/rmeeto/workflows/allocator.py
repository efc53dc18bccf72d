"""Keep freed memory in the process: on glibc, handing it back costs more than many kernels do."""

from __future__ import annotations

import contextlib
import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # mallopt's names for them (malloc.h)
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc's allocator not to return freed memory to the system; True if it could be told.

    A training step frees and allocates the same hundreds of megabytes again and again; by default
    large blocks are unmapped and every page of them faults in anew. Memory that is kept does not
    count against other work of the process.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, 64 << 20))
        told = [mallopt(name, value) for name, value in settings]
        return all(told)
    return False
