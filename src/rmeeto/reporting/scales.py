"""Scales, ticks and text: the arithmetic of a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from .numbers import number

FONT = 12


@dataclass(frozen=True)
class Size:
    """A drawing's size; pages show the narrow or the wide one, so that text keeps its size."""

    name: str
    width: int
    height: int


NARROW, WIDE = Size("narrow", 340, 250), Size("wide", 500, 310)


@dataclass(frozen=True)
class Scale:
    """A linear map from ``low … high`` in data to ``start … stop`` in pixels, with its ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def texts(self) -> list[str]:
        """The ticks as text, all with the decimals that their step needs."""
        step = abs(self.ticks[-1] - self.ticks[0]) / max(1, len(self.ticks) - 1) or 1.0
        digits = next((d for d in range(7) if abs(round(step, d) - step) < step * 1e-6), 6)
        return [number(tick, digits) for tick in self.ticks]

    def moved(self, start: float, stop: float) -> Scale:
        """The same domain over other pixels."""
        return Scale(self.low, self.high, start, stop, self.ticks)


def scale(
    values: Iterable[float],
    count: int = 5,
    bounds: tuple[float, float] | None = None,
    zero: bool = False,
    whole: bool = False,
) -> Scale:
    """A scale that holds ``values`` with a little air, over pixels 0 … 1.

    Args:
        count: about how many ticks.
        bounds: never reach beyond these (0 and 100 for percentages).
        zero: start at zero, with air above only.
        whole: ticks at whole numbers only.
    """
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    air = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (min(low, 0.0), high + air) if zero else (low - air, high + air)
    if bounds and bounds[0] <= min(known) and max(known) <= bounds[1]:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Scale(low, high, 0, 1, nice_ticks(low, high, count, whole))


def nice_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> tuple[float, ...]:
    """About ``count`` multiples of 1, 2, 2.5 or 5 × 10ⁿ within ``low … high``."""
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    multiples = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(m * power for m in multiples if m * power >= 0.75 * raw)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(k * step, 12) for k in range(first, last + 1)) or (low,)


def text_width(text: str, size: float = FONT) -> float:
    """About how wide ``text`` is in a sans-serif face of ``size`` px."""
    return 0.56 * size * len(text)


def shorten(words: str, room: float) -> str:
    """``words`` cut to about ``room`` px; what is cut shows as an ellipsis."""
    most = max(2, int(room / text_width("x")))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def tag(name: str, content: str = "", **attributes: object) -> str:
    """An SVG element; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``."""
    pairs = ((k.rstrip("_").replace("_", "-"), v) for k, v in attributes.items() if v is not None)
    inside = "".join(f' {key}="{escape(_attribute(value))}"' for key, value in pairs)
    return f"<{name}{inside}>{content}</{name}>"


def text(x: float, y: float, words: str, class_: str = "tick", anchor: str = "start") -> str:
    """A line of SVG text; nothing where there are no words."""
    if not words:
        return ""
    return tag("text", escape(words), class_=class_, x=x, y=y, text_anchor=anchor)


def tooltip(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def svg(size: Size, title: str, content: str, height: float | None = None) -> str:
    """The whole drawing, named for those who can't see it."""
    height = height or size.height
    return tag(
        "svg",
        tooltip(title) + content,
        class_=f"chart {size.name}",
        role="img",
        viewBox=f"0 0 {size.width} {height:g}",
        width=size.width,
        height=f"{height:g}",
    )


def _attribute(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
