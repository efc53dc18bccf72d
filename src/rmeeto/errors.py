"""Error classes whose message is always three lines: asked, given, and why not with a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RmeetoError(Exception):
    """An error that the user can act on; the command line prints its three lines and exits 1.

    Args:
        asked: what was asked for, one line.
        given: what was given instead, one line.
        reason: why it can't be done, and the nearest thing that works, one line.
    """

    exit_code = 1

    def __init__(self, asked: str, given: str, reason: str) -> None:
        self.asked, self.given, self.reason = (
            " ".join(str(s).split()) for s in (asked, given, reason)
        )
        super().__init__(f"asked: {self.asked}\ngiven: {self.given}\nwhy:   {self.reason}")

    def __reduce__(self):
        return type(self), (self.asked, self.given, self.reason)


class UnknownNameError(RmeetoError, KeyError):
    """A model, reducer, recipe, … name that no registry holds."""

    __str__ = Exception.__str__  # KeyError would print the repr


class ConfigError(RmeetoError, ValueError):
    """A setting out of range, or two settings that contradict each other."""


class ShapeError(RmeetoError, ValueError):
    """A tensor of the wrong shape or type."""


class DataError(RmeetoError):
    """Images, labels or folders that can't be read."""


class WeightsError(RmeetoError):
    """A checkpoint that can't be read or does not fit the model."""


class BackendError(RmeetoError):
    """An explicitly chosen kernel backend that can't do what was asked."""


class NonFiniteLossError(RmeetoError):
    """Training produced a NaN or an infinite loss."""


class ScoreError(RmeetoError, ValueError):
    """Outputs that an out-of-distribution score can't read, or data that it can't be fitted to."""


class StaleStatisticsError(ScoreError):
    """Fitted statistics that belong to other weights, another reduction or preprocessing."""


class StorageError(RmeetoError, OSError):
    """A file could not be written (disk full, no permission)."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not among ``known``, with the nearest ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known[:12])}"
    if not near and len(known) > 12:
        hint += f", … ({len(known)} in all; `rmeeto list` shows them)"
    return UnknownNameError(f"a {kind}", repr(name), f"no {kind} has that name; {hint}")
