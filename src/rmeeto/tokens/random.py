"""Random streams that belong to one site and to nothing else."""

from __future__ import annotations

import numpy as np
import torch


def generator(seed: int, site: int) -> torch.Generator:
    """A generator of its own for each (seed, site), the same at every forward, on the CPU."""
    state = int(np.random.SeedSequence([seed, site]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)
