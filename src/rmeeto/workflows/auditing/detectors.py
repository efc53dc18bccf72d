"""Scores by name: ours, or a detector of another package, made by a function that the user names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import ConfigError, unknown_name
from ...scores import SCORES, DetectorScore, Score, from_detector


def is_foreign(name: str) -> bool:
    """Whether a score is given as MODULE:FUNCTION."""
    return ":" in name


def score_named(name: str) -> Score:
    """The score of that name with its defaults, or the detector that MODULE:FUNCTION makes.

    The function takes nothing and returns an object that `rmeeto.scores.from_detector` can adapt; it is
    called once a model, so that no fit is shared.

    Raises:
        UnknownNameError: no score of ours has that name.
        ConfigError: the module or the function can't be found or fails, or makes no detector.
    """
    if is_foreign(name):
        return from_detector(_made(name))
    if name not in SCORES:
        raise unknown_name("score", name, SCORES)
    return SCORES.get(name)()


def learns(score: Score) -> bool:
    """Whether a score is shown in-distribution outputs first; detectors fit themselves if they can."""
    return score.fitted or isinstance(score, DetectorScore)


def _made(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return _function(module, attribute)()
    except Exception as error:  # somebody else's code may raise anything
        why = f"{type(error).__name__}: {error}; a function without arguments, importable from here"
        raise ConfigError("a detector as MODULE:FUNCTION", name, why) from error


def _function(module: str, attribute: str) -> Callable[[], Any]:
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    finally:
        if added:
            sys.path.remove(here)
