"""Horizontal bars of categories, and the steps of tokens through the blocks."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import Chart
from .numbers import number
from .record import LayerTokens, Point, Series
from .scales import FONT, WIDE, Scale, Size, scale, svg, tag, text, text_width, tooltip

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
    top = 26 + 16 * many
    parts = [text(0, FONT, chart.series[0].y_label, "axis")]
    parts += [_key(chart)] if many else []
    for row, name in enumerate(names):
        middle = top + row * block + _THICK * len(chart.series) / 2
        parts.append(text(left - 8, middle + 4, _short(name, left), "name", "end"))
    for k, series in enumerate(chart.series):
        for p in series.points:
            y = top + names.index(_name(p)) * block + k * _THICK
            parts.append(_bar(chart, series, p, across, y))
    height = top + len(names) * block
    parts.append(tag("line", class_="base", x1=across(0), x2=across(0), y1=top - 4, y2=height - 8))
    return svg(size, chart.title, "".join(parts), height)


def tokens(layers: Sequence[LayerTokens], title: str, size: Size = WIDE) -> str:
    """Draw the tokens that each block saw: the stage before as an outline, the others filled."""
    layers = [stage for stage in layers if stage.tokens]
    if not layers:
        return ""
    most = max(max(stage.tokens) for stage in layers)
    blocks = max(len(stage.tokens) for stage in layers)
    y = scale([0.0, float(most)], zero=True, whole=True).moved(size.height - 38, 28)
    x = Scale(0, blocks, max(map(text_width, y.texts())) + 8, size.width - 10, ())
    parts = [text(0, FONT, "Tokens seen by the block", "axis"), _grid(y, x, size)]
    parts += [_steps(stage, k, x, y) for k, stage in enumerate(_first_outline(layers))]
    return svg(size, title, "".join(parts))


def _name(p: Point) -> str:
    return p.label or number(p.x)


def _short(name: str, room: float) -> str:
    most = max(4, int(room / text_width("x")) - 1)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _bar(chart: Chart, series: Series, p: Point, across: Scale, y: float) -> str:
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
        ends = {"x1": across(p.low), "x2": across(p.high), "y1": middle, "y2": middle}
        parts.append(tag("line", class_="whisker strong", **ends))
    parts.append(text(end + 5, y + _THICK - 4, number(p.y), "note"))
    return tag("g", "".join(parts), class_=f"s{chart.colour(series.name)}")


def _key(chart: Chart) -> str:
    parts, x = [], 0.0
    for s in chart.series:
        swatch = tag("rect", class_="bar", x=x, y=20, width=10, height=10, rx=1.5)
        named = swatch + text(x + 15, 29, s.name, "name")
        parts.append(tag("g", named, class_=f"s{chart.colour(s.name)}"))
        x += 15 + text_width(s.name) + 14
    return "".join(parts)


def _first_outline(layers: Sequence[LayerTokens]) -> list[LayerTokens]:
    """The longest stage first, so that the others are drawn over it."""
    return sorted(layers, key=lambda stage: -sum(stage.tokens))


def _grid(y: Scale, x: Scale, size: Size) -> str:
    parts = []
    for tick, words in zip(y.ticks, y.texts(), strict=True):
        parts.append(tag("line", class_="grid", x1=x.start, x2=x.stop, y1=y(tick), y2=y(tick)))
        parts.append(text(x.start - 8, y(tick) + 4, words, anchor="end"))
    blocks = int(x.high)
    every = next(s for s in (1, 2, 4, 5, 10, 20, 50, 100, blocks) if blocks / s <= 12)
    for block in [1, *range(every, blocks + 1, every)] if every > 1 else range(1, blocks + 1):
        parts.append(text(x(block - 0.5), y.start + 17, str(block), anchor="middle"))
    middle = (x.start + x.stop) / 2
    return "".join([*parts, text(middle, size.height - 4, "Block", "axis", "middle")])


def _steps(stage: LayerTokens, k: int, x: Scale, y: Scale) -> str:
    """The first stage as a bold outline, later ones as filled bars with their last count named."""
    parts = []
    for i, count in enumerate(stage.tokens):
        a, b, top = x(i), x(i + 1), y(count)
        shape = {"x": a + 0.5, "y": top, "width": b - a - 1, "height": y.start - top}
        bar = tag("rect", tooltip(f"{stage.name}, block {i + 1}: {count} tokens"),
                  class_="bar" if k else "ghost", **shape)
        parts.append(bar)
    last = stage.tokens[-1]
    words = f"{stage.name} {last}"
    parts.append(text(x.stop - 4, y(last) - 6, words, "name", "end"))
    return tag("g", "".join(parts), class_=f"s{k - 1}")
