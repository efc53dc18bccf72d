"""The tables of docs/kernels.md, from the committed results.

    python -m benchmarks.document

Writes what stands between `<!-- results -->` and `<!-- /results -->`: the targets on every machine that
has a file results/cpu_kernels*.json, and, for what misses one, where the time goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.marks import with_block

from rmeeto.storage import write_atomic

from .targets import Target, ratio, targets

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "kernels.md"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
Data = dict[str, Any]


def main() -> None:
    """Write the block."""
    text = DOCUMENT.read_text()
    write_atomic(DOCUMENT, with_block(text, BEGIN, END, block(committed())))


def committed() -> list[Data]:
    """The results files, by name."""
    paths = sorted((ROOT / "results").glob("cpu_kernels*.json"))
    return [data for data in map(_read, paths) if "limits" in data]


def block(machines: Sequence[Data]) -> str:
    """All tables."""
    titles = [f"{m['machine']['cpu']}: {_limits(m['limits'])}" for m in machines]
    numbered = "\n".join(f"{i}. {title}" for i, title in enumerate(titles, 1))
    tables = [numbered, "\n".join(_targets(machines))]
    for i, data in enumerate(machines, 1):
        for title, rows in _profiles(data["results"]):
            if len(rows) > 2:
                tables.append(f"{title}, machine {i}:\n\n" + "\n".join(rows))
    return "\n\n".join(tables) + "\n"


def _read(path: Path) -> Data:
    return json.loads(path.read_text())


def _limits(limits: Data) -> str:
    return (
        f"{limits['isa']}, {limits['clock_ghz']:.2f} GHz, {limits['fma_gflops']:.0f} GFLOP/s of FMAs, a state of "
        f"the scan {limits['composite_ns']:.4f} ns in L1, L3 {limits['read_gbs']['L3']:.0f} GB/s"
    )


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _head(*cells: object) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _targets(machines: Sequence[Data]) -> Iterator[str]:
    columns = [{t.text: t for t in targets(m["results"])} for m in machines]
    rows: dict[str, Target] = {text: t for column in columns for text, t in column.items()}
    yield from _head("target", "wished", *range(1, len(machines) + 1))
    for text, target in rows.items():
        shown = (column[text].shown if text in column else "" for column in columns)
        yield _row(text, target.wanted, *shown)


def _profiles(results: Data) -> Iterator[tuple[str, list[str]]]:
    yield "Where a model's time goes, milliseconds an image", list(_parts(results))
    yield "Two threads, and two processes that share nothing, against one", list(_second(results))
    yield "A merge step beside its block, 32 images", list(_merging(results))
    yield "What a call of the scan costs", list(_calls(results))


def _parts(results: Data) -> Iterator[str]:
    found = {name: r["facts"] for name, r in results.items() if name.startswith("parts/")}
    columns = list(dict.fromkeys(part for facts in found.values() for part in facts))
    columns.sort(key=lambda part: part == "the rest, ms")
    yield from _head("model", *(part.removesuffix(", ms") for part in columns))
    for name, facts in found.items():
        yield _row(name[6:], *(f"{facts[c]:.2f}" if c in facts else "" for c in columns))


def _second(results: Data) -> Iterator[str]:
    yield from _head("work", "two threads", "two processes")
    for name, record in results.items():
        if name.startswith("processes/"):
            threads = ratio(results, f"threads/{name[10:]}", "2 threads")
            shown = "" if threads is None else f"{threads:.2f}×"
            yield _row(name[10:], shown, f"{record['facts']['ratio']:.2f}×")


def _merging(results: Data) -> Iterator[str]:
    yield from _head("type", "block", "step", "its matching", "its merging")
    for precision in ("fp32", "bf16"):
        times = _medians(results, f"merge/step/B=32/{precision}")
        if "its matching" in times:
            shown = (times[k] for k in ("block", "step", "its matching", "its merging"))
            yield _row(precision, *(f"{1e3 * t:.2f} ms" for t in shown))


def _calls(results: Data) -> Iterator[str]:
    yield from _head("work", "time")
    for name in results:
        if name.startswith("scan/call/"):
            for label, seconds in _medians(results, name).items():
                yield _row(f"{label}, {name[10:]}", f"{1e6 * seconds:.0f} µs")


def _medians(results: Data, name: str) -> dict[str, float]:
    return {t["label"]: t["median"] for t in results.get(name, {}).get("timings", [])}


if __name__ == "__main__":
    main()
