"""Charts of `Series` as inline SVG: lines and clouds of points, with intervals and direct labels.

Colours, fonts and line widths are classes that the report's style sheet fills in, for light and
dark; a drawing carries geometry, text and tooltips only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .labels import Box, along, apart, around, room
from .numbers import number
from .record import Point, Series
from .scales import (
    FONT,
    NARROW,
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

COLOURS = 6
MARKERS = ("circle", "square", "triangle", "diamond")
_LINE = 16  # px from one line of labels to the next
_RADIUS = 4.0


@dataclass(frozen=True)
class Chart:
    """What one chart shows.

    Args:
        references: names and heights of dashed lines across the plot.
        categories: names of x = 0, 1, 2, … in place of numeric ticks.
        colours: series → colour, so that a name keeps its colour through a report.
    """

    title: str
    series: tuple[Series, ...]
    references: tuple[tuple[str, float], ...] = ()
    categories: tuple[str, ...] = ()
    colours: Mapping[str, int] = field(default_factory=dict)

    def colour(self, name: str) -> int:
        """Index of the series' colour; −1 is the neutral one of baselines."""
        names = [s.name for s in self.series]
        return self.colours.get(name, assign_colours(names).get(name, 0))


@dataclass(frozen=True)
class _Frame:
    """The plot area and what surrounds it."""

    size: Size
    x: Scale
    y: Scale
    direct: bool

    @property
    def box(self) -> Box:
        return (self.x.start, self.y.stop, self.x.stop, self.y.start)


def assign_colours(names: Sequence[str], kept: Mapping[str, int] | None = None) -> dict[str, int]:
    """Colours for the series of one chart, beside the ones that are ``kept`` from charts before.

    Names that start with "baseline" are neutral (−1).
    """
    colours = dict(kept or {})
    taken = {colours[name] for name in names if name in colours}
    for name in dict.fromkeys(names):
        if name not in colours:
            free = [c for c in range(COLOURS) if c not in taken]
            neutral = name.lower().startswith("baseline")
            colours[name] = -1 if neutral else free[0] if free else len(colours) % COLOURS
            taken.add(colours[name])
    return colours


def both_sizes(draw: Callable[[Size], str]) -> str:
    """A narrow and a wide drawing; the style sheet shows the one that fits."""
    return draw(NARROW) + draw(WIDE)


def plot(chart: Chart, size: Size = WIDE) -> str:
    """Draw lines and points; a series without any known value is left out."""
    shown = [s for s in chart.series if _known(s)]
    if not shown:
        return ""
    frame = _frame(chart, shown, size)
    parts = [_axes(chart, frame, shown[0])]
    parts += [_reference(frame, name, y) for name, y in chart.references]
    parts += [_legend(chart, frame, shown)] if len(shown) > 1 and not frame.direct else []
    parts += [_series(chart, s, frame) for s in shown]
    parts += [_names(chart, shown, frame)] if frame.direct else []
    parts += [_point_labels(shown, frame)]
    return svg(size, chart.title, "".join(parts))


def _known(series: Series) -> list[Point]:
    return [p for p in series.points if p.y is not None]


def _frame(chart: Chart, shown: Sequence[Series], size: Size) -> _Frame:
    x, y = _x_scale(chart, shown, size), _y_scale(chart, shown)
    widest = max(text_width(s.name) for s in shown) + 12
    direct = len(shown) > 1 and widest < 0.3 * size.width and _ends_right(shown, x)
    legend = 6 + _legend_rows(shown, size) * _LINE if len(shown) > 1 and not direct else 0
    left = max(text_width(t) for t in y.texts()) + 8
    right = widest if direct else 10
    x = x.moved(left, size.width - right)
    return _Frame(size, x, y.moved(size.height - 38, 28 + legend), direct)


def _x_scale(chart: Chart, shown: Sequence[Series], size: Size) -> Scale:
    if chart.categories:
        last = len(chart.categories) - 1
        return Scale(-0.45, last + 0.45, 0, 1, tuple(map(float, range(last + 1))))
    values = [p.x for s in shown for p in _known(s)]
    whole = all(float(v).is_integer() for v in values)
    return scale(values, count=8 if size is WIDE else 5, whole=whole)


def _y_scale(chart: Chart, shown: Sequence[Series]) -> Scale:
    points = [p for s in shown for p in _known(s)]
    values = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    values += [y for _, y in chart.references]
    percent = any("%" in s.y_label for s in shown)
    return scale(values, bounds=(0, 100) if percent else None)


def _ends_right(shown: Sequence[Series], x: Scale) -> bool:
    """Names stand at the ends of lines, which works where all lines end near the right edge."""
    return all(x(_known(s)[-1].x) > 0.85 for s in shown)


def _axes(chart: Chart, frame: _Frame, first: Series) -> str:
    left, _, right, bottom = frame.box
    parts = [text(0, FONT, shorten(first.y_label, frame.size.width), "axis")]
    for tick, words in zip(frame.y.ticks, frame.y.texts(), strict=True):
        height = frame.y(tick)
        parts.append(tag("line", class_="grid", x1=left, x2=right, y1=height, y2=height))
        parts.append(text(left - 8, height + 4, words, anchor="end"))
    words = list(chart.categories) or frame.x.texts()
    for tick, word in zip(frame.x.ticks, words, strict=True):
        parts.append(text(frame.x(tick), bottom + 17, word, anchor="middle"))
    parts.append(tag("line", class_="base", x1=left, x2=right, y1=bottom, y2=bottom))
    words = shorten(first.x_label, right - left)
    parts.append(text((left + right) / 2, frame.size.height - 4, words, "axis", "middle"))
    return "".join(parts)


def _reference(frame: _Frame, name: str, y: float) -> str:
    left, _, right, _ = frame.box
    height = frame.y(y)
    line = tag("line", class_="reference", x1=left, x2=right, y1=height, y2=height)
    words = shorten(f"{name} {number(y, 1)}", right - left)
    return line + text(left + 4, height - 5, words, "note")


def _series(chart: Chart, series: Series, frame: _Frame) -> str:
    points = _known(series)
    colour = chart.colour(series.name)
    many, every = len(points) > 30, 1 + len(points) // 120  # long curves: a tooltip here and there
    parts = []
    if series.kind == "line":
        parts += [_band(points, frame)] if many else []
        parts.append(tag("path", class_="line", d=_path([(p.x, p.y) for p in points], frame)))
    for p in points[::every]:
        x, y = frame.x(p.x), frame.y(p.y or 0.0)
        mark = "" if many else _whisker(p, frame) + marker(colour, x, y)
        hover = tag("circle", class_="hover", cx=x, cy=y, r=9)
        parts.append(tag("g", tooltip(_told(series, p)) + mark + hover))
    return tag("g", "".join(parts), class_=f"s{colour}")


def _path(points: Sequence[tuple[float, float | None]], frame: _Frame) -> str:
    return "M" + "L".join(f"{frame.x(x):.1f},{frame.y(y or 0.0):.1f}" for x, y in points)


def _band(points: Sequence[Point], frame: _Frame) -> str:
    bounded = [p for p in points if p.low is not None and p.high is not None]
    if len(bounded) < 2:
        return ""
    there, back = [(p.x, p.high) for p in bounded], [(p.x, p.low) for p in reversed(bounded)]
    return tag("path", class_="band", d=_path([*there, *back], frame) + "Z")


def _whisker(p: Point, frame: _Frame) -> str:
    if p.low is None or p.high is None:
        return ""
    x = frame.x(p.x)
    return tag("line", class_="whisker", x1=x, x2=x, y1=frame.y(p.low), y2=frame.y(p.high))


def marker(colour: int, x: float, y: float, r: float = _RADIUS) -> str:
    """A mark whose shape tells series apart without their colour."""
    shape = MARKERS[colour % len(MARKERS)]
    if shape == "circle":
        return tag("circle", class_="mark", cx=x, cy=y, r=r)
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "triangle": ((0, -1.25), (1.2, 0.95), (-1.2, 0.95)),
        "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    }[shape]
    points = " ".join(f"{x + a * r:.1f},{y + b * r:.1f}" for a, b in corners)
    return tag("polygon", class_="mark", points=points)


def _told(series: Series, p: Point) -> str:
    where = p.label or f"{series.x_label} {number(p.x)}"
    told = f"{series.name}, {where}: {series.y_label} {number(p.y, 2)}"
    if p.low is None or p.high is None:
        return told
    return f"{told} (95 %: {number(p.low, 2)} to {number(p.high, 2)})"


def _legend_places(shown: Sequence[Series], size: Size) -> list[tuple[int, float]]:
    """Row and left edge of every entry, filling rows from the left."""
    places, row, x = [], 0, 0.0
    for s in shown:
        width = 18 + text_width(shorten(s.name, size.width - 18)) + 12
        if x and x + width > size.width:
            row, x = row + 1, 0.0
        places.append((row, x))
        x += width
    return places


def _legend_rows(shown: Sequence[Series], size: Size) -> int:
    return _legend_places(shown, size)[-1][0] + 1


def _legend(chart: Chart, frame: _Frame, shown: Sequence[Series]) -> str:
    parts = []
    for s, (row, x) in zip(shown, _legend_places(shown, frame.size), strict=True):
        y = 28 + row * _LINE
        mark = marker(chart.colour(s.name), x + 6, y - 4)
        named = mark + text(x + 16, y, shorten(s.name, frame.size.width - 18), "name")
        parts.append(tag("g", named, class_=f"s{chart.colour(s.name)}"))
    return "".join(parts)


def _names(chart: Chart, shown: Sequence[Series], frame: _Frame) -> str:
    ends = [(frame.x(_known(s)[-1].x), frame.y(_known(s)[-1].y or 0.0)) for s in shown]
    heights = apart([y for _, y in ends], _LINE, *sorted((frame.y.start, frame.y.stop)))
    parts = [
        text(x + 9, y + 4, s.name, f"name s{chart.colour(s.name)}")
        for s, (x, _), y in zip(shown, ends, heights, strict=True)
    ]
    return "".join(parts)


def _point_labels(shown: Sequence[Series], frame: _Frame) -> str:
    """Labels of points where there is room for them; the rest are in the tooltips."""
    taken = [box for s in shown for box in _covered(s, frame)]
    parts = []
    for p in (p for s in shown for p in _known(s) if p.label):
        words = p.label or ""
        width = text_width(words, 11)
        place = room(frame.x(p.x), frame.y(p.y or 0.0), width, frame.box, taken)
        if place:
            taken.append(place)
            parts.append(text(place[0] + width / 2, place[3] - 3, words, "note", "middle"))
    return "".join(parts)


def _covered(series: Series, frame: _Frame) -> Iterator[Box]:
    """What a series draws on: its marks, intervals and line."""
    points = [(frame.x(p.x), frame.y(p.y or 0.0)) for p in _known(series)]
    yield from (around(x, y, _RADIUS + 1) for x, y in points)
    for (x, y), p in zip(points, _known(series), strict=True):
        low, high = (y if end is None else frame.y(end) for end in (p.low, p.high))
        yield (x - 1, high, x + 1, low)
    if series.kind == "line":
        yield from along(points)
