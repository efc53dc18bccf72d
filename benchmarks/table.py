"""The results as Markdown: one table of everything measured, one of the targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .targets import targets

Record = dict[str, Any]


def duration(seconds: float) -> str:
    """Three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def line(name: str, record: Record) -> str:
    """One benchmark in one line, for the progress."""
    if record["status"] != "measured":
        return f"{name}: {_why(record)}"
    if "timings" not in record:
        return f"{name}: " + ", ".join(f"{k} {v}" for k, v in record["facts"].items())
    ours = next(t for t in record["timings"] if t["label"] == record["ours"])
    parts = [f"{name}: {ours['label']} {duration(ours['median'])}"]
    parts += [
        f"{_ratio(r)} {record['baseline']}" for r in record["ratios"] if r["label"] == ours["label"]
    ]
    parts += [f"{limit['share']:.0%} of {limit['name']}" for limit in record["limits"]]
    return ", ".join(parts)


def render(data: Record) -> str:
    """Machine, limits, results and targets of a results file."""
    machine, results = data["machine"], data["results"]
    head = [f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}"]
    head += [f"- {name}: {_number(value)}" for name, value in (data["limits"] or {}).items()]
    table = [
        "| benchmark | candidate | median | p20 … p80 | each | ratio | FLOPs realised | share of limit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    table += [row for name, record in results.items() for row in _rows(name, record, data["code"])]
    notes = [
        f"- {name}: without {label} ({why})"
        for name, record in results.items()
        for label, why in record.get("skipped", {}).items()
    ]
    derived = {
        (name.split("/")[0], limit["name"], limit["derivation"])
        for name, record in results.items()
        for limit in record.get("limits", [])
    }
    notes += [f"- {limit} of {group}: {how}" for group, limit, how in sorted(derived)]
    wanted = ["| target | reached | wanted |", "|---|---|---|"]
    wanted += [f"| {t.text} | {t.shown} | {t.wanted} |" for t in targets(results)]
    return "\n".join([*head, "", *table, "", *notes, "", *wanted])


def _rows(name: str, record: Record, code: str) -> Iterator[str]:
    if record["code"] != code:
        name += ", of older code"
    load = (
        f"load {record['load_before'][0]} … {record['load_after'][0]}"
        if record.get("load_after")
        else ""
    )
    if record["status"] != "measured":
        yield f"| {name} | {_why(record)} | | | | | | |"
        return
    for label, value in record["facts"].items():
        yield f"| {name} | {label} | {value} | | | | | |"
    ratios = {r["label"]: r for r in record.get("ratios", [])}
    title = f"{name} ({record['threads']} thread{'s' * (record['threads'] > 1)}, {load})"
    for t in record.get("timings", []):
        ratio, ours = ratios.get(t["label"]), t["label"] == record["ours"]
        realised = f"{ratio['realised']:.0%}" if ratio and "realised" in ratio else ""
        limits = [f"{x['share']:.0%} {x['name']}" for x in record["limits"]] if ours else []
        cells = [
            title,
            t["label"],
            duration(t["median"]),
            f"{duration(t['p20'])} … {duration(t['p80'])}",
            f"{duration(t['median'] / record['units'])} / {record['unit'].rstrip('s')}",
            _ratio(ratio) if ratio else "1",
            realised,
            "; ".join(limits),
        ]
        yield "| " + " | ".join(cells) + " |"
        title = ""


def _ratio(speedup: Record) -> str:
    r = speedup["ratio"]
    return f"{r['value']:.3g}× [{r['low']:.3g}, {r['high']:.3g}]"


def _why(record: Record) -> str:
    if record["status"] == "wrong":
        return f"no speed shown: results differ by {record['error']:.1e}"
    return f"{record['status']}: {record.get('reason', '')}"


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_number(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
