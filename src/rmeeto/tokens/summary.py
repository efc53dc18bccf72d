"""What a reduction does to a model, layer by layer: a table to print, rows to compute with."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from .host import Host
from .planner import cost
from .reducer import GOALS, Reducer
from .schedule import Schedule

CONVENTIONS = ("paper", "full")


@dataclass(frozen=True)
class Row:
    """One layer."""

    layer: int
    tokens: int
    """tokens that enter the layer"""
    removed: int
    """tokens that leave at its site"""
    paper: float
    """multiply-adds of its blocks, published convention, matching left out"""
    full: float
    """the same with everything counted, both scan directions"""


@dataclass(frozen=True)
class Summary:
    """Tokens and multiply-adds of one image through a reduced model; `str()` is a table."""

    method: str
    goal: str
    """what was asked for"""
    start: int
    """P"""
    final: int
    """tokens that leave the last block"""
    ratio: float
    """reached: 1 − (mean tokens a block) / P"""
    rows: tuple[Row, ...]
    paper: float
    """multiply-adds in all, embedding, head and matching included"""
    full: float
    paper_plain: float
    """multiply-adds of the model without the reduction"""
    full_plain: float

    def __str__(self) -> str:
        scale, unit = (1e9, "G") if self.paper_plain >= 1e9 else (1e6, "M")
        cells: list[tuple[str, ...]] = [
            ("layer", "tokens in", "removed", f"{unit}MACs (paper)", f"{unit}MACs (full)")
        ]
        for label, tokens, removed, *macs in self._lines():
            cells.append((label, tokens, removed, *(f"{x / scale:.3f}" for x in macs)))
        reached = f"tokens {self.start} → {self.final}, ratio {self.ratio:.3f}"
        saved = 1 - self.paper / self.paper_plain, 1 - self.full / self.full_plain
        footer = f"saved: {saved[0]:.1%} of the MACs (paper), {saved[1]:.1%} (full)"
        return "\n".join([f"{self.method} {self.goal}: {reached}", *_aligned(cells), footer])

    def _lines(self) -> list[tuple[str, str, str, float, float]]:
        lines = [
            (str(r.layer), str(r.tokens), str(r.removed) if r.removed else "", r.paper, r.full)
            for r in self.rows
        ]
        paper_rest = self.paper - sum(row.paper for row in self.rows)
        full_rest = self.full - sum(row.full for row in self.rows)
        removed = str(self.start - self.final)
        return [
            *lines,
            ("other", "", "", paper_rest, full_rest),
            ("total", str(self.start), removed, self.paper, self.full),
            ("plain", str(self.start), "", self.paper_plain, self.full_plain),
        ]


def summarise(config: Reducer, schedule: Schedule, host: Host) -> Summary:
    """Fill in the table from the host's own FLOP counter."""
    plain = Schedule((0,) * len(schedule.removals), schedule.start)
    goals = [
        f"{goal}={getattr(config, goal)}" for goal in GOALS if getattr(config, goal) is not None
    ]
    paper, full = (cost(config, schedule, host, c) for c in CONVENTIONS)
    paper_plain, full_plain = (cost(config, plain, host, c) for c in CONVENTIONS)
    return Summary(
        method=config.name, goal=", ".join(goals),
        start=schedule.start, final=schedule.final, ratio=schedule.ratio,
        rows=_rows(schedule, host),
        paper=paper, full=full, paper_plain=paper_plain, full_plain=full_plain,
    )  # fmt: skip


def _rows(schedule: Schedule, host: Host) -> tuple[Row, ...]:
    layers: dict[int, list[int]] = {}
    for block in range(len(schedule.removals)):
        layers.setdefault(bisect_left(host.sites, block), []).append(block)
    return tuple(_row(layer, blocks, schedule, host) for layer, blocks in layers.items())


def _row(layer: int, blocks: list[int], schedule: Schedule, host: Host) -> Row:
    """A layer costs what the model would save if its blocks saw no token."""
    seen = schedule.tokens()
    removed = sum(schedule.removals[block] for block in blocks)
    without = [0 if block in blocks else n for block, n in enumerate(seen)]
    paper, full = (host.flops(seen, (), c) - host.flops(without, (), c) for c in CONVENTIONS)
    return Row(layer, seen[blocks[0]] + schedule.removals[blocks[0]], removed, paper, full)


def _aligned(cells: list[tuple[str, ...]]) -> list[str]:
    """Right-aligned columns, two blanks between them."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
