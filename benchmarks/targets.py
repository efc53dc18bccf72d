"""The project's speed targets, each worked out from the results file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Results = dict[str, dict[str, Any]]
SCAN = "8x197x384x16/fp32"


@dataclass(frozen=True)
class Target:
    """One line: what, the number that was reached (None: not measured), and the wish."""

    text: str
    value: float | None
    wanted: str
    style: str = "{:.3g}"

    @property
    def shown(self) -> str:
        """The number as text."""
        return "not measured" if self.value is None else self.style.format(self.value)


def targets(results: Results) -> Iterator[Target]:
    """All targets in the order in which the project lists them."""
    yield from _scan(results)
    yield from _models(results)
    yield from _training(results)
    yield from _reduction(results)
    yield from _threads(results)


def _scan(results: Results) -> Iterator[Target]:
    for work, wanted in (("forward", "≥ 90×"), ("forward+backward", "≥ 60×")):
        value = ratio(results, f"scan/{work}/{SCAN}", "native")
        yield Target(f"scan {work}, B=8, against the unbind loop", value, wanted, "{:.1f}×")
    for work, limit, wanted in (
        ("forward", "port limit", "≥ 62 %"),
        ("forward", "in-L1 composite", "≥ 95 %"),
        ("backward", "port limit", "≥ 50 %"),
    ):
        yield Target(
            f"scan {work}, of the {limit}",
            share(results, f"scan/{work}/{SCAN}", limit),
            wanted,
            "{:.0%}",
        )


def _models(results: Results) -> Iterator[Target]:
    for precision, wanted in (("fp32", "≥ 65 %"), ("bf16", "≥ 60 %")):
        name = f"model/vim_tiny/B=32/{precision}"
        for limit in ("bound, products as measured", "bound, products at the peak"):
            yield Target(
                f"Vim-Ti {precision} B=32, of the {limit}",
                share(results, name, limit),
                wanted,
                "{:.0%}",
            )
        value = ratio(results, name, "Vim-Ti")
        yield Target(f"Vim-Ti {precision} B=32 against DeiT-Ti", value, "≥ 0.9× (fp32)", "{:.2f}×")
        length = crossover(results, precision)
        yield Target(
            f"tokens from which Vim-Ti {precision} is faster", length, "< 800 (fp32)", "{:.0f}"
        )


def _training(results: Results) -> Iterator[Target]:
    value = ratio(results, "training/vim_tiny/B=8/fp32", "native")
    yield Target("Vim-Ti training step, B=8, against the unbind loop", value, "≥ 25×", "{:.1f}×")
    facts = results.get("memory/training vim_tiny/B=8/fp32", {}).get("facts", {})
    ours, loop = (facts.get(f"{label}, MiB") for label in ("native", "unbind loop"))
    yield Target(
        "its peak memory, of the loop's", ours / loop if ours else None, "≤ 100 %", "{:.0%}"
    )


def _reduction(results: Results) -> Iterator[Target]:
    for precision, wanted in (("fp32", "≤ 4 %"), ("bf16", "≤ 8 %")):
        value = ratio(results, f"merge/step/B=32/{precision}", "step")
        part = 1 / value if value else None
        yield Target(f"merge step {precision} B=32, of a block's time", part, wanted, "{:.1%}")
    for batch in (1, 32):
        for precision, least in (("fp32", 3), ("bf16", 5)):
            name = f"reduced/vim_tiny/B={batch}/{precision}"
            found = {s["label"]: s for s in results.get(name, {}).get("ratios", [])}
            text = f"reduced Vim-Ti {precision} B={batch}"
            value = found["r=11"]["realised"] if found else None
            yield Target(f"{text}, r=11, of its FLOPs ceiling", value, "≥ 95 %", "{:.0%}")
            speeds = [
                s["ratio"]["value"] for k, s in found.items() if int(k[2:].split()[0]) >= least
            ]
            worst = min(speeds, default=None)
            yield Target(f"{text}, slowest at r ≥ {least}", worst, "≥ 1.0×", "{:.2f}×")


def _threads(results: Results) -> Iterator[Target]:
    for name in sorted(name for name in results if name.startswith("threads/")):
        wanted = "≥ 1.0×" if "/small" in name else "≥ 1.8×"
        yield Target(
            f"two threads, {name[8:]}", ratio(results, name, "2 threads"), wanted, "{:.2f}×"
        )


def ratio(results: Results, name: str, label: str) -> float | None:
    """Baseline time / time of ``label``; None if it was not measured."""
    return _pick(results, name, "ratios", "label", label, lambda s: s["ratio"]["value"])


def share(results: Results, name: str, limit: str) -> float | None:
    """Limit / our time, 1 is at the limit; None if it was not measured."""
    return _pick(results, name, "limits", "name", limit, lambda s: s["share"])


def _pick(
    results: Results, name: str, part: str, key: str, label: str, read: Callable
) -> float | None:
    return next((read(x) for x in results.get(name, {}).get(part, []) if x[key] == label), None)


def crossover(results: Results, precision: str) -> float | None:
    """Tokens at which Vim-Ti gets as fast as DeiT-Ti, log-log between the lengths around it."""
    points = sorted(
        (record["facts"]["tokens"], ratio(results, name, "Vim-Ti"))
        for name, record in results.items()
        if name.startswith("length/")
        and name.endswith(precision)
        and record["status"] == "measured"
    )
    for (short, slower), (long, faster) in pairwise(points):
        if slower < 1 <= faster:
            part = math.log(1 / slower) / math.log(faster / slower)
            return short * (long / short) ** part
    return float(points[0][0]) if points and points[0][1] >= 1 else None
