"""What a change amounts to, from its interval: better, same within the interval, or worse."""

from __future__ import annotations

from typing import Literal

BETTER, SAME, WORSE, UNKNOWN = "better", "same within interval", "worse", "not measured"


def change_verdict(
    low: float | None, high: float | None, direction: Literal["higher", "lower"]
) -> str:
    """The verdict on a change whose interval is [low, high].

    Args:
        low, high: ends of the interval of new minus old; None where it was not measured.
        direction: which way is better.
    """
    if low is None or high is None:
        return UNKNOWN
    if low <= 0 <= high:
        return SAME
    return BETTER if (low > 0) == (direction == "higher") else WORSE
