"""Where labels of a chart can stand without covering anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

Box = tuple[float, float, float, float]  # left, top, right, bottom
HEIGHT = 13.0  # px of a label


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move ``places`` as little as needed for a distance of ``gap``, within ``low … high``."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [min(max(places[i], low), high) for i in order]
    for _ in range(50):
        for i, (a, b) in enumerate(pairwise(moved)):
            if b - a < gap - 1e-6:
                middle = (a + b) / 2
                moved[i], moved[i + 1] = middle - gap / 2, middle + gap / 2
        moved = [
            min(max(y, low + k * gap), high - (len(moved) - 1 - k) * gap)
            for k, y in enumerate(moved)
        ]
    return [y for _, y in sorted(zip(order, moved, strict=True))]


def room(x: float, y: float, width: float, frame: Box, taken: Sequence[Box]) -> Box | None:
    """A free box for the label of the point (x, y): above, below, beside it, at its corners."""
    left, top, right, bottom = frame
    for a, b in _corners(x, y, width):
        box = (a, b, a + width, b + HEIGHT)
        inside = left <= a and a + width <= right + 8 and top - 8 <= b and b + HEIGHT <= bottom
        if inside and not any(overlap(box, other) for other in taken):
            return box
    return None


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share any area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def around(x: float, y: float, r: float) -> Box:
    """The box that reaches ``r`` px from a point."""
    return (x - r, y - r, x + r, y + r)


def along(points: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes that cover a line."""
    boxes = []
    for (xa, ya), (xb, yb) in pairwise(points):
        steps = int(max(abs(xb - xa), abs(yb - ya)) / 4) + 1
        shares = (k / steps for k in range(steps))
        boxes += [around(xa + (xb - xa) * s, ya + (yb - ya) * s, 1.5) for s in shares]
    return boxes


def _corners(x: float, y: float, width: float) -> Iterator[tuple[float, float]]:
    """Left upper corners of a label, best place first."""
    yield from ((x - width / 2, y - 8 - HEIGHT), (x - width / 2, y + 8))
    yield from ((x + 9, y - HEIGHT / 2), (x - 9 - width, y - HEIGHT / 2))
    yield from ((a, b) for a in (x + 6, x - 6 - width) for b in (y - 6 - HEIGHT, y + 6))
