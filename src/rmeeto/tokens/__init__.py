"""Tokens between blocks: their state, the plan that shortens them, and the schedule of it all."""

from .host import Host
from .match import match, place_class_token, shuffle
from .plan import MODES, Plan, apply, compose
from .planner import resolve, site_blocks
from .prune import drop_lowest, drop_sources
from .reducer import Reducer
from .reduction import Reduction, reduce_, restore_
from .schedule import Schedule
from .state import TokenState, gather_slots
from .summary import Row, Summary

__all__ = [
    "MODES",
    "Host",
    "Plan",
    "Reducer",
    "Reduction",
    "Row",
    "Schedule",
    "Summary",
    "TokenState",
    "apply",
    "compose",
    "drop_lowest",
    "drop_sources",
    "gather_slots",
    "match",
    "place_class_token",
    "reduce_",
    "resolve",
    "restore_",
    "shuffle",
    "site_blocks",
]
