"""Horizontal bars of categories, and the steps of tokens through the blocks."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import Chart
from .labels import apart
from .numbers import decimals, number
from .record import LayerTokens, Point, Series
from .scales import (
    FONT,
    WIDE,
    Scale,
    Size,
    scale,
    shorten,
    svg,
    tag,
    text,
    text_width,
    tooltip,
)

_THICK, _AIR = 16, 12  # px of a bar, and between categories


def bars(chart: Chart, size: Size = WIDE) -> str:
    """Draw horizontal bars: a block of them for each category, a bar for each series."""
    names = list(dict.fromkeys(_name(p) for s in chart.series for p in s.points))
    if not names:
        return ""
    many = len(chart.series) > 1
    left = min(0.4 * size.width, 10 + max(map(text_width, names)))
    ends = [v for s in chart.series for p in s.points for v in (p.y, p.high) if v is not None]
    across = scale([0.0, *ends], zero=True).moved(left, size.width - 48)
    block = _THICK * len(chart.series) + _AIR
    top = 26 + 18 * many
    digits = decimals(max(map(abs, ends), default=0.0))
    parts = [text(0, FONT, shorten(chart.series[0].y_label, size.width), "axis")]
    parts += [_key(chart, size)] if many else []
    for row, name in enumerate(names):
        middle = top + row * block + _THICK * len(chart.series) / 2
        parts.append(text(left - 8, middle + 4, shorten(name, left - 8), "name", "end"))
    for k, series in enumerate(chart.series):
        for p in series.points:
            y = top + names.index(_name(p)) * block + k * _THICK
            parts.append(_bar(chart, series, p, across, y, digits))
    height = top + len(names) * block
    parts.append(tag("line", class_="base", x1=across(0), x2=across(0), y1=top - 4, y2=height - 8))
    return svg(size, chart.title, "".join(parts), height)


def tokens(layers: Sequence[LayerTokens], title: str, size: Size = WIDE) -> str:
    """Draw the tokens of each block: the most as an outline, fewer as filled steps over it."""
    layers = sorted((stage for stage in layers if stage.tokens), key=lambda s: -sum(s.tokens))
    if not layers:
        return ""
    blocks = max(len(stage.tokens) for stage in layers)
    y = scale([float(n) for stage in layers for n in stage.tokens], zero=True, whole=True)
    y = y.moved(size.height - 38, 28)
    names = [shorten(f"{stage.tokens[-1]} {stage.name}", 0.36 * size.width) for stage in layers]
    right = max(map(text_width, names)) + 8
    x = Scale(0, blocks, max(map(text_width, y.texts())) + 8, size.width - right, ())
    heights = apart([y(stage.tokens[-1]) for stage in layers], 16, 20, size.height - 38)
    parts = [text(0, FONT, "Tokens", "axis"), _grid(y, x, size)]
    for k, (stage, words, height) in enumerate(zip(layers, names, heights, strict=True)):
        name = text(x.stop + 6, height + 4, words, "name")
        parts.append(tag("g", _steps(stage, k > 0, x, y) + name, class_=f"s{k - 1}"))
    return svg(size, title, "".join(parts))


def _name(p: Point) -> str:
    return p.label or number(p.x)


def _bar(chart: Chart, series: Series, p: Point, across: Scale, y: float, digits: int) -> str:
    if p.y is None:
        return ""
    a, b = sorted((across(0), across(p.y)))
    told = f"{series.name}, {_name(p)}: {number(p.y)}"
    parts = [
        tooltip(told),
        tag("rect", class_="bar", x=a, y=y + 1, width=b - a, height=_THICK - 3, rx=1.5),
    ]
    end = b
    if p.low is not None and p.high is not None:
        end, middle = max(b, across(p.high)), y + _THICK / 2 - 0.5
        a, b = across(p.low), across(p.high)
        parts.append(tag("line", class_="whisker strong", x1=a, x2=b, y1=middle, y2=middle))
    parts.append(text(end + 5, y + _THICK - 4, number(p.y, digits), "note"))
    return tag("g", "".join(parts), class_=f"s{chart.colour(series.name)}")


def _key(chart: Chart, size: Size) -> str:
    parts, x = [], 0.0
    for s in chart.series:
        swatch = tag("rect", class_="bar", x=x, y=20, width=10, height=10, rx=1.5)
        name = shorten(s.name, size.width / len(chart.series) - 30)
        named = swatch + text(x + 15, 29, name, "name")
        parts.append(tag("g", named, class_=f"s{chart.colour(s.name)}"))
        x += 15 + text_width(name) + 14
    return "".join(parts)


def _grid(y: Scale, x: Scale, size: Size) -> str:
    parts = []
    for tick, words in zip(y.ticks, y.texts(), strict=True):
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.stop, y1=y(tick), y2=y(tick)))
        parts.append(text(x.start - 8, y(tick) + 4, words, anchor="end"))
    blocks = int(x.high)
    room = (x.stop - x.start) / 30
    every = next(s for s in (1, 2, 4, 5, 10, 20, 50, 100, blocks) if blocks / s <= room)
    for block in range(every, blocks + 1, every):
        parts.append(text(x(block - 0.5), y.start + 17, str(block), anchor="middle"))
    middle = (x.start + x.stop) / 2
    return "".join([*parts, text(middle, size.height - 4, "Block", "axis", "middle")])


def _steps(stage: LayerTokens, filled: bool, x: Scale, y: Scale) -> str:
    """A bar for each block, or only the line over them."""
    corners = [(x(i + d), y(n)) for i, n in enumerate(stage.tokens) for d in (0, 1)]
    line = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    parts = [] if filled else [tag("path", class_="ghost", d=f"{line}V{y(0):.1f}H{x(0):.1f}Z")]
    for i, count in enumerate(stage.tokens):
        width, height = x(1) - x(0) - 1, y(0) - y(count)
        told = tooltip(f"{stage.name}, block {i + 1}: {count} tokens")
        class_ = "bar" if filled else "hover"
        left, top = x(i) + 0.5, y(count)
        bar = tag("rect", told, class_=class_, x=left, y=top, width=width, height=height)
        parts.append(bar)
    return "".join(parts)
