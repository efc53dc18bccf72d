"""What a reduction does to a model, layer by layer, as a table to print and rows to compute with."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from .host import Host
from .planner import cost
from .reducer import GOALS, Reducer
from .schedule import Schedule


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
    start: int
    final: int
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
        head = ("layer", "tokens in", "removed", f"paper {unit}MACs", f"full {unit}MACs")
        rows = [(r.layer, r.tokens, r.removed, r.paper / scale, r.full / scale) for r in self.rows]
        paper, full = self.paper / scale, self.full / scale
        plain_paper, plain_full = self.paper_plain / scale, self.full_plain / scale
        rest = paper - sum(r[3] for r in rows), full - sum(r[4] for r in rows)
        rows += [("other", "", "", *rest)]
        rows += [("total", self.start, self.start - self.final, paper, full)]
        rows += [("plain", self.start, 0, plain_paper, plain_full)]
        reached = f"tokens {self.start} → {self.final}, ratio {self.ratio:.3f}"
        saved = [f"{1 - new / old:.1%}" for new, old in self._pairs()]
        saved_line = f"saved: {saved[0]} of the paper's FLOPs, {saved[1]} of all"
        return "\n".join([f"{self.method}, {self.goal}: {reached}", *_table([head, *rows]), saved_line])

    def _pairs(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.paper, self.paper_plain), (self.full, self.full_plain)


def summarise(config: Reducer, schedule: Schedule, host: Host) -> Summary:
    """Fill in the table from the host's own FLOP counter."""
    blocks = len(schedule.removals)
    plain = Schedule((0,) * blocks, schedule.start).tokens()
    layers = [bisect_left(host.sites, block) for block in range(blocks)]
    depth = max(layers, default=-1) + 1
    rows = tuple(_row(layer, layers, schedule, host) for layer in range(depth))
    goals = [f"{n}={getattr(config, n)}" for n in GOALS if getattr(config, n) is not None]
    return Summary(
        config.name, ", ".join(goals), schedule.start, schedule.final, schedule.ratio, rows,
        *(cost(config, schedule, host, c) for c in ("paper", "full")),
        *(host.flops(plain, (), c) for c in ("paper", "full")),
    )  # fmt: skip


def _row(layer: int, layers: list[int], schedule: Schedule, host: Host) -> Row:
    mine = [block for block, of in enumerate(layers) if of == layer]
    seen = schedule.tokens()
    removed = sum(schedule.removals[block] for block in mine)
    without = [0 if block in mine else n for block, n in enumerate(seen)]
    flops = (host.flops(seen, (), c) - host.flops(without, (), c) for c in ("paper", "full"))
    return Row(layer, seen[mine[0]] + schedule.removals[mine[0]], removed, *flops)


def _table(rows: list[tuple]) -> list[str]:
    """Right-aligned columns."""
    cells = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
