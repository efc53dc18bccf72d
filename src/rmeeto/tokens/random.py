"""Random numbers that belong to one site and depend on nothing else."""

from __future__ import annotations

import numpy as np
import torch


def generator(seed: int, site: int) -> torch.Generator:
    """A CPU generator of its own for each (seed, site), the same at every forward."""
    state = int(np.random.SeedSequence([seed, site]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


@torch.compiler.assume_constant_result
def ranking(count: int, seed: int, site: int) -> tuple[int, ...]:
    """A random permutation of 0 … count − 1 for this (seed, site); a constant to the compiler."""
    return tuple(torch.randperm(count, generator=generator(seed, site)).tolist())
