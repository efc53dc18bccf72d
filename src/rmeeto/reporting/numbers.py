"""Numbers as people read them: enough digits and no more, true minus signs, thin spaces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MINUS, THIN = "−", "\u202f"


def decimals(value: float, half_width: float | None = None) -> int:
    """Digits after the point: what the interval supports, else three significant ones."""
    if abs(value) >= 100 or not value:
        return 0
    if half_width:  # one significant digit of it, two when it starts with 1
        leading = math.floor(math.log10(half_width))
        return min(4, max(0, -leading + (half_width < 2 * 10**leading)))
    return min(4, max(0, 2 - math.floor(math.log10(abs(value)))))


def number(value: float | None, digits: int | None = None, signed: bool = False) -> str:
    """``value`` with ``digits`` after the point and thousands apart; an en dash for None."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if signed else ''},.{decimals(value) if digits is None else digits}f}"
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")  # no "−0.0"
    return text.replace("-", MINUS).replace(",", THIN)


def with_unit(value: float | None, unit: str, digits: int | None = None) -> str:
    """``value`` and its unit, joined so that a line never breaks between them."""
    text = number(value, digits, signed=unit == "points")
    return f"{text}{THIN}{unit}" if unit and value is not None else text


def duration(seconds: float) -> str:
    """Seconds as "850 ms", "42 s", "4.1 minutes" or "2.5 hours"."""
    for size, unit in ((3600, "hours"), (60, "minutes"), (1, "s")):
        if seconds >= 1.5 * size or (size == 1 and seconds >= 1):
            return f"{number(seconds / size, 0 if size == 1 and seconds >= 10 else 1)}{THIN}{unit}"
    return f"{number(seconds * 1e3, 0)}{THIN}ms"


def change(value: float, base: float) -> str:
    """How ``value`` stands to ``base``: a percentage up to a doubling, a factor beyond."""
    ratio = value / base
    if 0 <= ratio < 2:
        return f"{number(100 * (ratio - 1), 0, signed=True)}{THIN}%"
    return f"×{number(ratio, decimals(ratio))}"


def plain_text(value: Any) -> str:
    """A setting as text: lists by commas, tables as "key: value", None and empty as a dash."""
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {plain_text(v)}" for k, v in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_text, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return MINUS * (value < 0) + f"{abs(value):.4g}"
    return "–" if value is None or value == "" else str(value)
