"""Claims about re-training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from experiments.cells import TUNE_IMAGES, TUNE_SHARE
from experiments.evidence import Evidence, Row, UndecidableError, difference, mean, measure
from rmeeto.evaluation import Interval, mean_and_interval

from .free import least
from .hosts import FASHION, DataSet
from .questions import Finding, Question, Region
from .words import LITTLE, levels, little_to_tell_apart, rounded, seeds

RECOVERED = 70.0
"""Percent: the paper recovers 85 % at r = 20; 15 less for a thousandth of the images."""
SPIKE, DROP, MINUTES = 35.9, 0.9, 60.0
EQUAL = 0.5
"""Points: five times the paper's ±0.1 for DeiT, the noise of 10,000 test images."""


def tuned_questions(data: DataSet) -> Iterator[Question]:
    """Questions to the re-trained cells of one data set."""
    yield from _recovery(data)
    yield from _compared(data)
    yield from _order(data)
    if data is FASHION:
        yield from _lengths(data)


def _recovery(data: DataSet) -> Iterator[Question]:
    r = data.high
    only = tuple(
        f"{data.vim}/{kind}/{label}" for kind in ("free", "tune") for label in ("r0", "rmeeto")
    )

    def share(evidence: Evidence) -> Finding:
        base, control = evidence.free(data.vim, "r0"), evidence.tuned(data.vim, "r0")
        free, tuned = (
            evidence.free(data.vim, f"rmeeto_r{r}"),
            evidence.tuned(data.vim, f"rmeeto_r{r}"),
        )
        rows = {"unreduced": base, "unreduced and re-trained": control, "merged": free}
        facts = (
            f"Top-1 at r={r}: {levels({**rows, 'merged and re-trained': tuned})} ({seeds(tuned)})"
        )
        if max(mean(base), mean(control)) - mean(free) < LITTLE:
            raise UndecidableError(
                f"{facts}. Less than {LITTLE:g} point was lost: nothing to recover"
            )
        found = measure(
            lambda b, c, f, t: 100 * (t - f) / (np.maximum(b, c) - f),
            base,
            control,
            free,
            tuned,
            unit="%",
        )
        return Finding(found, facts, details={"top1": {k: mean(v) for k, v in rows.items()}})

    def spike(evidence: Evidence) -> Finding:
        rows, gains = [], {}
        for k in data.tuned:
            free, tuned = (
                evidence.free(data.vim, f"rmeeto_r{k}"),
                evidence.tuned(data.vim, f"rmeeto_r{k}"),
            )
            rows += [free, tuned]
            gains[f"r={k}"] = rounded(difference(tuned, free))
        found = measure(
            lambda *a: np.maximum.reduce([t - f for f, t in zip(a[::2], a[1::2], strict=True)]),
            *rows,
        )
        told = ", ".join(f"{k} {gain[0]:+.1f}" for k, gain in gains.items())
        deepest = min(mean(row) for row in rows[::2])
        cause = f"Merging leaves {deepest:.1f} at the worst here: no more than that can come back"
        return Finding(found, f"Points regained in 3 epochs: {told}", cause, {"regained": gains})

    def drop(evidence: Evidence) -> Finding:
        base, control = evidence.free(data.vim, "r0"), evidence.tuned(data.vim, "r0")
        tuned = evidence.tuned(data.vim, f"rmeeto_r{data.main}")
        facts = (
            f"Top-1: {levels({'unreduced': base, f'r={data.main} re-trained': tuned})} ({seeds(tuned)}); "
            f"the unreduced model re-trained alike: {mean(control):.1f}"
        )
        free = mean(evidence.free(data.vim, f"rmeeto_r{data.main}"))
        cause = (
            f"Merging costs {mean(base) - free:.1f} points before the re-training, which brings "
            f"{mean(tuned) - free:.1f} back"
        )
        details = {"against_retrained_control": rounded(difference(control, tuned))}
        return Finding(difference(base, tuned), facts, cause, details)

    def minutes(evidence: Evidence) -> Finding:
        runs = evidence.runs(data.vim, f"rmeeto_r{data.main}")
        taken = mean_and_interval([run.training["minutes"] for run in runs], unit="min")
        pace = np.mean([run.training["images_per_second"] for run in runs])
        machine = runs[0].machine
        facts = (
            f"{runs[0].training['images']} views at {pace:.0f} images/s on {machine['threads']} thread of "
            f"{machine['cpu']}, validation and checkpoints included; load average {machine['load'][0]:g}"
        )
        return Finding(taken, facts)

    yield Question(
        f"recovers-{data.key}", f"Three epochs of re-training rebuild a merged model, r={r} ({data})",
        "abstract; fig. speed (54.6 → 76.5 of 80.5: 85 %)",
        f"more than {RECOVERED:g} % of the loss comes back, counted against the better of the unreduced model "
        "and the unreduced model re-trained alike", Region(RECOVERED), only, share,
    )  # fmt: skip
    yield Question(
        f"spike-{data.key}", f"The largest recovery in 3 epochs reaches the paper's ({data})",
        "abstract (Vim-Ti +35.9 points)", f"more than {SPIKE} points at one of r = {'/'.join(map(str, data.tuned))}",
        Region(SPIKE), only, spike,
    )  # fmt: skip
    yield Question(
        f"drop-{data.key}", f"At a ratio near .31 the rebuilt model loses at most 0.9 points ({data})",
        "abstract; tab. 2 (0.6 to 0.9)", f"unreduced − re-trained at r={data.main} below {DROP} points",
        Region(high=DROP), only, drop,
    )  # fmt: skip
    yield Question(
        f"minutes-{data.key}", f"Rebuilding takes minutes ({data}, one core)",
        "title; tab. 3 (16.2 to 57.6 minutes on 8 H100)",
        f"3 epochs of {TUNE_IMAGES * TUNE_SHARE:,.0f} images in less than {MINUTES:g} minutes, "
        "about the paper's longest", Region(high=MINUTES), (f"{data.vim}/tune/rmeeto_r{data.main}",), minutes,
    )  # fmt: skip


_RIVALS = {
    "prune_redundant": "the same tokens pruned", "prune_most": "most informative pruned",
    "kth7": "merged with the 7th most similar",
}  # fmt: skip


def _compared(data: DataSet) -> Iterator[Question]:
    asked = [
        ("merge-beats-prune-tuned", "Merging still beats pruning the same tokens after re-training", data.high,
         "prune_redundant", "project video (78.0 against 77.5)"),
        ("informative-tuned", "Pruning informative tokens is not repaired by re-training as merging is", data.high,
         "prune_most", "abstract"),
    ]  # fmt: skip
    if data is FASHION:
        asked.append(("kth-tuned", "Merging similar tokens beats merging the 7th most similar, re-trained",
                      data.main, "kth7", "tab. 15"))  # fmt: skip
    for name, claim, r, other, source in asked:

        def find(evidence: Evidence, r: int = r, other: str = other) -> Finding:
            merged, rival = (evidence.tuned(data.vim, f"{m}_r{r}") for m in ("rmeeto", other))
            rows = {"merged": merged, _RIVALS[other]: rival}
            cause = little_to_tell_apart(evidence, data.vim, f"rmeeto_r{r}")
            return Finding(
                difference(merged, rival), f"Top-1: {levels(rows)} ({seeds(merged)})", cause
            )

        yield Question(
            f"{name}-{data.key}", f"{claim}, r={r} ({data})", source, "difference > 0", Region(0),
            tuple(f"{data.vim}/tune/{m}_r{r}" for m in ("rmeeto", other)), find,
        )  # fmt: skip


def _order(data: DataSet) -> Iterator[Question]:
    r = data.main

    def pairs(evidence: Evidence, host: str) -> tuple[Row, Row]:
        return evidence.tuned(host, f"rmeeto_r{r}"), evidence.tuned(host, f"unordered_r{r}")

    def gap(host: str) -> Callable[[Evidence], Finding]:
        def find(evidence: Evidence) -> Finding:
            ordered, mixed = pairs(evidence, host)
            free = [evidence.free(host, f"{m}_r{r}") for m in ("rmeeto", "unordered")]
            facts = (
                f"Top-1 re-trained: {levels({'in order': ordered, 'out of order': mixed})} ({seeds(ordered)}); "
                f"without re-training: {levels({'in order': free[0], 'out of order': free[1]})}"
            )
            cause = (
                f"Disorder costs {mean(free[0]) - mean(free[1]):.1f} points without re-training, of which "
                f"{mean(ordered) - mean(mixed):.1f} are left after it"
            )
            return Finding(difference(ordered, mixed), facts, cause)

        return find

    def both(evidence: Evidence) -> Finding:
        rows = [row for host in (data.vim, data.vit) for row in pairs(evidence, host)]
        gaps = [difference(*rows[:2]), difference(*rows[2:])]
        facts = f"Points lost to disorder: Vim {gaps[0].value:+.2f}, ViT {gaps[1].value:+.2f}"
        return Finding(measure(lambda a, b, c, d: (a - b) - (c - d), *rows), facts)

    labels = [f"{kind}/{m}_r{r}" for kind in ("free", "tune") for m in ("rmeeto", "unordered")]
    vim, vit = (tuple(f"{host}/{label}" for label in labels) for host in (data.vim, data.vit))
    source = "tab. 4 (Vim −9.4/−6.6/−3.5, DeiT +.1/+.1/−.1)"
    yield Question(
        f"order-vim-{data.key}", f"Losing the order of tokens hurts Mamba, r={r}, re-trained ({data})", source,
        "in order − out of order > 0", Region(0), vim, gap(data.vim),
    )  # fmt: skip
    yield Question(
        f"order-vit-{data.key}", f"Losing the order of tokens does not hurt a ViT, r={r}, re-trained ({data})", source,
        f"in order − out of order within ±{EQUAL} points", Region(-EQUAL, EQUAL), vit, gap(data.vit),
    )  # fmt: skip
    yield Question(
        f"order-more-{data.key}", f"Order matters more to Mamba than to a ViT, r={r}, re-trained ({data})", source,
        "difference of the two gaps > 0", Region(0), (*vim, *vit), both,
    )  # fmt: skip


def _lengths(data: DataSet) -> Iterator[Question]:
    own = f"rmeeto_r{data.high}"
    asked = (
        ("epochs", "More epochs of re-training help, ever less", "tab. 9",
         {"1 epoch": f"{own}_epochs1", "3 epochs": own, "6 epochs": f"{own}_epochs6"}),
        ("data", "More images to re-train on help, ever less", "tab. 8",
         {"10 %": f"{own}_data10", "30 %": f"{own}_data30", "all": own}),
    )  # fmt: skip
    for name, claim, source, labels in asked:

        def find(evidence: Evidence, labels: dict[str, str] = labels) -> Finding:
            rows = {k: evidence.tuned(data.vim, label) for k, label in labels.items()}
            facts = f"Top-1 at r={data.high}: {levels(rows)} ({seeds(rows[next(iter(rows))])})"
            found = measure(_rises_and_flattens, *rows.values())
            steps = [difference(b, a) for a, b in pairwise(rows.values())]
            return Finding(found, facts, _which_step(steps), {"steps": [rounded(s) for s in steps]})

        yield Question(
            f"{name}-{data.key}", f"{claim}, r={data.high} ({data})", source,
            "smallest of: first gain, second gain, first minus second gain > 0", Region(0),
            (f"{data.vim}/tune/{own}",), find,
        )  # fmt: skip


def _rises_and_flattens(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return least(b - a, c - b, (b - a) - (c - b))


def _which_step(steps: list[Interval]) -> str:
    told = " and ".join(f"{s.value:+.2f} [{s.low:+.2f}, {s.high:+.2f}]" for s in steps)
    return f"The two gains are {told} points"
