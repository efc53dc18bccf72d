"""The finished cells as a record for the report: verdicts, curves, and a table of all cells."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.evidence import Evidence, measure
from experiments.ledger import CIFAR, ELASTIC, FASHION, OVERLAP
from experiments.ledger.cost import points
from experiments.ledger.hosts import DataSet, Timed
from experiments.store import Result
from rmeeto.reporting import Claim, Point, RunRecord, Series, Table, Verdict

_RS = (1, 2, 3, 4, 5, 10, 11, 15, 20, 30)


def build_record(evidence: Evidence, claims: Sequence[Claim]) -> RunRecord:
    """Everything that the report shows; depends on nothing but its arguments."""
    results = sorted(evidence.results.values(), key=lambda r: r.created)
    held = sum(claim.verdict == "holds" for claim in claims)
    tested = sum(claim.verdict != "not verified" for claim in claims)
    return RunRecord(
        "experiments",
        created=results[-1].created if results else "",
        machine=results[-1].machine if results else {},
        verdicts=tuple(Verdict(c.claim, c.verdict, c.explanation) for c in claims),
        series=(
            *(line for data in (FASHION, CIFAR) for line in _curves(evidence, data)),
            *(cloud for data in (FASHION, ELASTIC, OVERLAP, CIFAR) for cloud in _against_speed(evidence, data)),
        ),
        tables=(_table(evidence),) if results else (),
        timings={"all cells": 60 * sum(r.minutes for r in results)} if results else {},
        headline=f"{held} of {tested} tested claims hold, from {len(results)} measured cells.",
    )


def _curves(evidence: Evidence, data: DataSet) -> list[Series]:
    group, x = f"{data}: accuracy against r", "r (tokens removed at each site)"
    lines = []
    for host, name in ((data.vim, "Vim"), (data.vit, "ViT")):
        for method, word in (("rmeeto", "merged"), ("prune_redundant", "pruned")):
            for kind, how in (("free", ""), ("tune", ", re-trained")):
                found = _curve(evidence, host, kind, method)
                lines.append(Series(f"{name} {word}{how}", x, "top-1 (%)", found, "line", group))
    return [line for line in lines if line.points]


def _against_speed(evidence: Evidence, data: Timed) -> list[Series]:
    timed = tuple(
        Point(x, y, label=label) for x, y, label in points(evidence, data.vim, data.fast)
    )
    cloud = Series("Vim merged, re-trained", "speed-up at batch 128, measured (×)", "top-1 (%)", timed,
                   "scatter", f"{data}: accuracy against measured speed")  # fmt: skip
    return [cloud] if timed else []


def _curve(evidence: Evidence, host: str, kind: str, method: str) -> tuple[Point, ...]:
    found = []
    for r in (0, *_RS):
        label = f"{method}_r{r}" if r else "r0"
        if kind == "free" and evidence.has(f"{host}/free/{label}"):
            row = evidence.free(host, label)
        elif kind == "tune" and evidence.has(f"{host}/tune/{label}/seed2"):
            row = evidence.tuned(host, label)
        else:
            continue
        interval = measure(lambda a: a, row, unit="%")
        found.append(Point(r, interval.value, interval.low, interval.high, f"r = {r}"))
    return tuple(found) if len(found) > 1 else ()


def _table(evidence: Evidence) -> Table:
    rows = [_row(result) for _, result in sorted(evidence.results.items())]
    columns = ("cell", "top-1 %", "low", "high", "tokens at the end", "M MACs (full)", "minutes")
    return Table("All cells", columns, tuple(rows), "95 % intervals by bootstrap over test images")


def _row(result: Result) -> tuple:
    top1 = result.accuracy
    shown = (top1.value, round(top1.low, 2), round(top1.high, 2)) if top1 else (None, None, None)
    cost = round(result.macs["full"] / 1e6, 1)
    return (result.cell.id, *shown, result.tokens[-1], cost, round(result.minutes, 1))
