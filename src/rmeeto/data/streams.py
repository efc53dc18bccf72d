"""Random numbers that depend on named integers only: same seed, epoch and place, same view."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What a random number is for; each purpose has numbers of its own."""

    ORDER = 1
    VIEW = 2
    MIX = 3
    CROP = 4
    FLIP = 5
    POLICY = 6
    ERASE = 7
    SPLIT = 8
    OUTLIER = 9
    CORRUPTION = 10
    ELASTIC = 11


def derive(*keys: ArrayLike) -> NDArray[np.uint64]:
    """Hash integer keys (broadcast against each other) into well-mixed 64-bit numbers.

    Args:
        keys: integers or integer arrays; their order matters.

    Returns:
        uint64 array of the broadcast shape, at least one-dimensional.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014), the
    SplitMix64 finaliser; differs in: chained over the keys.
    """
    state = np.zeros(1, np.uint64)
    for key in keys:
        state = _finalise(state ^ _finalise(_unsigned(key) + _GOLDEN))
    return state


def _unsigned(key: ArrayLike) -> NDArray[np.uint64]:
    if isinstance(key, int):  # a Python int may be negative or longer than 64 bits
        return np.array([key & _MASK], np.uint64)
    return np.atleast_1d(np.asarray(key)).astype(np.uint64)


def _finalise(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def seeds(*keys: ArrayLike) -> NDArray[np.int64]:
    """Like `derive`, as non-negative int64 that can be stored with a batch."""
    return (derive(*keys) >> np.uint64(1)).astype(np.int64)


def uniforms(view_seeds: NDArray[np.int64], stream: Stream, count: int) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) for each view seed, (B,) → (B, count)."""
    bits = derive(view_seeds[:, None], int(stream), np.arange(count))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def generator(*keys: int) -> np.random.Generator:
    """A numpy generator that depends on the integer keys only."""
    return np.random.Generator(np.random.Philox(key=int(derive(*keys)[0])))
