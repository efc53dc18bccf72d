"""Reduction methods by name; a new one is a file that registers its settings."""

from .common import REDUCERS, reducer_from_dict, reducer_to_dict
from .prune_random import PruneRandom
from .prune_redundant import PruneRedundant
from .prune_score import PruneScore
from .rmeeto import RMeeTo

__all__ = [
    "REDUCERS",
    "PruneRandom",
    "PruneRedundant",
    "PruneScore",
    "RMeeTo",
    "reducer_from_dict",
    "reducer_to_dict",
]
