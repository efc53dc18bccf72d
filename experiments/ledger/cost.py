"""Claims about speed and about what a smaller model would do at the same cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from experiments.cells import SEEDS
from experiments.evidence import Evidence, MissingCellsError, difference, mean
from rmeeto.evaluation import Interval
from rmeeto.profiling import paired_gain, published_flops_table

from .hosts import FASHION, DataSet, Timed
from .questions import Finding, Question, Region
from .words import rounded

BATCH = 128
"""The paper's."""
DROP = 0.9
PUBLISHED = {
    ("vim_tiny_patch16_224", 0): 1.45, ("vim_tiny_patch16_224", 5): 1.28,
    ("vim_small_patch16_224", 0): 5.08, ("vim_small_patch16_224", 11): 3.58,
    ("vim_base_patch16_224", 0): 18.87, ("vim_base_patch16_224", 11): 13.21,
}  # fmt: skip
"""GFLOPs of the paper's table 2; VideoMamba's are the same numbers."""
BEST_GPU = {5: 0.93, 11: 1.17, 20: 1.48}
"""Highest speed-up of the paper's figures over its five GPUs."""


def cost_questions(data: DataSet) -> Iterator[Question]:
    """Questions to the speed cells, and with them to the re-trained ones."""
    yield from faster_questions(data)
    if data.smaller:
        yield _size_line(data)
    if data is FASHION:
        yield _speed_of_paper(data)
        yield _flops()


def speedup(evidence: Evidence, host: str, label: str, batch: int = BATCH) -> Interval:
    """Unreduced time over reduced time."""
    (cell,) = evidence.cells(f"{host}/speed/{label}")
    ratios = {s["batch_size"]: s["ratio"] for s in cell.speed["speedups"]}
    if batch not in ratios:
        raise MissingCellsError([f"{cell.cell.id} at batch {batch}"])
    chosen = ratios[batch]
    return Interval(chosen["value"], chosen["low"], chosen["high"], "×")


_SOURCES = {1.2: "abstract (Vim-S: 1.2× at −1.3)", 1.5: "abstract (up to 1.5×)"}


def faster_questions(data: Timed, asked: tuple[float, ...] = tuple(_SOURCES)) -> Iterator[Question]:
    """Is there a setting that is as fast and as accurate as the paper's? One question a speed-up."""
    only = (f"{data.vim}/free/r0", *(f"{data.vim}/tune/{x}" for x in data.fast), f"{data.vim}/speed")
    for wanted in asked:
        yield Question(
            f"faster-{wanted}-{data.key}",
            f"{wanted}× measured speed at a loss of at most {DROP} points ({data}, CPU)", _SOURCES[wanted],
            f"smallest unreduced − re-trained of the settings whose speed-up at batch {BATCH} is above {wanted} by its "
            f"interval: below {DROP} points", Region(high=DROP), only, _lost_by_fast_ones(data, wanted),
        )  # fmt: skip


def _lost_by_fast_ones(data: Timed, wanted: float) -> Callable[[Evidence], Finding]:
    def find(evidence: Evidence) -> Finding:
        base, told, fast = evidence.free(data.vim, "r0"), [], []
        for label in data.fast:
            lost = difference(base, evidence.tuned(data.vim, label))
            ratio = speedup(evidence, data.vim, label)
            told.append(
                f"{label}: {lost.value:+.2f} points lost [{lost.low:+.2f}, {lost.high:+.2f}], {ratio.value:.2f}×"
            )
            fast += [lost] if ratio.low > wanted else []
        details = {label: _by_batch(evidence, data.vim, label) for label in data.fast}
        facts = f"{'; '.join(told)}. {_load(evidence, data)}. {_ceilings(evidence, data)}"
        if not fast:
            return Finding(None, facts, f"No setting is {wanted}× by its interval", details)
        return Finding(min(fast, key=lambda lost: lost.value), facts, details=details)

    return find


def _ceilings(evidence: Evidence, data: Timed) -> str:
    told = []
    for label in data.fast:
        (cell,) = evidence.cells(f"{data.vim}/speed/{label}")
        told += [
            f"{s['ceiling']:.2f}× for {label}"
            for s in cell.speed["speedups"]
            if s["batch_size"] == BATCH
        ]
    return f"If time followed FLOPs (both directions) it would be {', '.join(told)}"


def _by_batch(evidence: Evidence, host: str, label: str) -> dict[str, list[float]]:
    (cell,) = evidence.cells(f"{host}/speed/{label}")
    return {
        f"batch {s['batch_size']}": rounded(speedup(evidence, host, label, s["batch_size"]))
        for s in cell.speed["speedups"]
    }


def _load(evidence: Evidence, data: Timed) -> str:
    cells = evidence.cells(*(f"{data.vim}/speed/{label}" for label in data.fast))
    loads = [
        x for cell in cells for x in (cell.speed["machine"]["load"][0], cell.speed["load_after"][0])
    ]
    machine = cells[0].machine
    return (
        f"{machine['threads']} thread of {machine['cpu']}, {machine['cores']} cores, load average "
        f"{min(loads):g} to {max(loads):g}, calls interleaved"
    )


def _size_line(data: DataSet) -> Question:
    hosts = (data.vim, *data.smaller)

    def find(evidence: Evidence) -> Finding:
        family = {h: evidence.runs(h, "r0", SEEDS if h == data.vim else SEEDS[:1]) for h in hosts}
        line = [
            (runs[0].macs["full"], np.mean([x.right for x in runs], axis=0))
            for runs in family.values()
        ]
        gains = {}
        for r in data.speeds:
            runs = evidence.runs(data.vim, f"rmeeto_r{r}")
            point = runs[0].macs["full"], np.mean([x.right for x in runs], axis=0)
            gains[r] = paired_gain(line, point)
        sizes = ", ".join(f"{f / 1e6:.0f} M MACs {100 * right.mean():.1f}" for f, right in line)
        told = ", ".join(f"r={r} {gain}" for r, gain in gains.items())
        facts = f"Unreduced models re-trained alike: {sizes}. Merged, above that line: {told}"
        own = gains[data.main].interval
        share = 1 - point_share(evidence, data)
        cause = f"Merging saves {100 * share:.0f} % of the multiply-adds, no more than a slightly narrower model does"
        return Finding(own, facts, cause, {f"r={r}": _gain(g) for r, g in gains.items()})

    return Question(
        f"size-line-{data.key}",
        f"A merged model beats an unreduced smaller one of the same cost, r={data.main} ({data})",
        "not in the paper; its ICLR reviewers asked", "accuracy − line through the unreduced widths > 0, all of "
        "them re-trained by the same recipe; FLOPs of both scan directions", Region(0),
        tuple(f"{h}/tune/r" for h in hosts), find,
    )  # fmt: skip


def point_share(evidence: Evidence, data: DataSet) -> float:
    """MACs of the merged model at the main r over those of the unreduced one."""
    merged, plain = evidence.cells(f"{data.vim}/free/rmeeto_r{data.main}", f"{data.vim}/free/r0")
    return merged.macs["full"] / plain.macs["full"]


def _gain(found) -> list[float] | str:
    return rounded(found.interval) if found.interval else found.reason


def _speed_of_paper(data: DataSet) -> Question:
    def find(evidence: Evidence) -> Finding:
        ratios = {r: speedup(evidence, data.vim, f"rmeeto_r{r}") for r in BEST_GPU}
        told = ", ".join(f"r={r} {x} against {BEST_GPU[r]}×" for r, x in ratios.items())
        r = min(ratios, key=lambda r: ratios[r].value / BEST_GPU[r])
        weakest = ratios[r]
        value, low, high = (x / BEST_GPU[r] for x in (weakest.value, weakest.low, weakest.high))
        details = {f"r={k}": _by_batch(evidence, data.vim, f"rmeeto_r{k}") for k in BEST_GPU}
        return Finding(
            Interval(value, low, high, "×"), f"{told}. {_load(evidence, data)}", details=details
        )

    theirs = ", ".join(f"r={r} {x}×" for r, x in BEST_GPU.items())
    return Question(
        f"speed-of-paper-{data.key}",
        f"Merging pays off at least as much as in the paper, where r=5 is slower than no merging ({data}, CPU)",
        "fig. speed (Vim-S, five GPUs)",
        f"smallest quotient of our speed-up and the paper's best ({theirs}), batch {BATCH}, above 1", Region(1),
        (f"{data.vim}/speed",), find,
    )  # fmt: skip


def _flops() -> Question:
    def find(evidence: Evidence) -> Finding:
        table = {(row.model, row.r): round(row.paper, 2) for row in published_flops_table()}
        wrong = [f"{name} r={r}" for (m, r), g in PUBLISHED.items() for name in (m, m.replace("vim", "videomamba"))
                 if table[name, r] != g]  # fmt: skip
        told = ", ".join(f"{m.split('_')[1]} r={r} {table[m, r]}" for m, r in PUBLISHED)
        found = float(len(wrong))
        return Finding(
            Interval(found, found, found, "differ"), f"GFLOPs: {told}; VideoMamba alike", str(wrong)
        )

    return Question(
        "flops", "The published FLOPs come out exactly, for Vim and VideoMamba", "tab. 2",
        "all twelve figures equal to two decimals", Region(high=0.5), find=find,
        command="python experiments/claims.py",
    )  # fmt: skip


def points(
    evidence: Evidence, host: str, labels: tuple[str, ...]
) -> list[tuple[float, float, str]]:
    """(speed-up, accuracy, label) of the re-trained settings that were timed."""
    found = []
    for label in labels:
        timed, tuned = f"{host}/speed/{label}", f"{host}/tune/{label}/seed2"
        if evidence.has(timed) and evidence.has(tuned):
            accuracy = mean(evidence.tuned(host, label))
            found.append((speedup(evidence, host, label).value, accuracy, label))
    return found
