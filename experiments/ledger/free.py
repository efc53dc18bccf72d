"""Claims about reduction without re-training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import pairwise

import numpy as np

from experiments.cells import KTH, METRICS, MODES, SHUFFLE
from experiments.evidence import Evidence, difference, mean, measure
from rmeeto.evaluation import Interval

from .hosts import FASHION, DataSet
from .questions import Finding, Question, Region
from .words import levels, little_to_tell_apart, rounded

BREAKS = 10.0
"""Points: the paper's merging loses up to 9 at r = 15 and still counts as usable."""


def free_questions(data: DataSet) -> Iterator[Question]:
    """Questions to the training-free cells of one data set."""
    yield from _ratio(data)
    yield from _pruning(data)
    yield from _against_vit(data)
    if data is FASHION:
        yield from _ablations(data)


def least(*values: np.ndarray) -> np.ndarray:
    """Elementwise minimum: a claim about several steps is as good as the weakest of them."""
    return reduce(np.minimum, values)


def _falls(*a: np.ndarray) -> np.ndarray:
    return least(*(x - y for x, y in pairwise(a)))


def _accelerates(*a: np.ndarray) -> np.ndarray:
    return least(*(2 * y - x - z for x, y, z in zip(a, a[1:], a[2:], strict=False)))


def _ratio(data: DataSet) -> Iterator[Question]:
    rs, only = data.sweep, (f"{data.vim}/free/r",)

    def over_r(statistic: Callable[..., np.ndarray]) -> Callable[[Evidence], Finding]:
        def find(evidence: Evidence) -> Finding:
            rows = {f"r={r}": evidence.free(data.vim, f"rmeeto_r{r}") for r in rs}
            base = evidence.free(data.vim, "r0")
            facts = f"Top-1: {levels({'unreduced': base, **rows})}"
            found = measure(statistic, *rows.values())
            cause = little_to_tell_apart(evidence, data.vim, f"rmeeto_r{rs[0]}")
            return Finding(found, facts, cause, {"top1": {k: mean(v) for k, v in rows.items()}})

        return find

    span = "/".join(map(str, rs))
    yield Question(
        f"falls-{data.key}", f"Merging without re-training loses more the more is merged ({data})",
        "abstract; fig. speed (Vim-S 80.5 → 78.4/76.3/71.5/54.6)",
        f"smallest loss from one r of {span} to the next > 0", Region(0), only, over_r(_falls),
    )  # fmt: skip
    yield Question(
        f"accelerates-{data.key}", f"Merging without re-training loses faster and faster over r ({data})",
        "fig. speed", f"smallest second difference of the loss over r = {span} > 0", Region(0),
        only, over_r(_accelerates),
    )  # fmt: skip


def _pruning(data: DataSet) -> Iterator[Question]:
    high, low = data.high, data.sweep[0]
    only = (f"{data.vim}/free/rmeeto", f"{data.vim}/free/prune")

    def gap(evidence: Evidence) -> Finding:
        merged, pruned = (
            evidence.free(data.vim, f"{m}_r{high}") for m in ("rmeeto", "prune_redundant")
        )
        facts = f"Top-1 at r={high}: {levels({'merged': merged, 'pruned': pruned})}"
        gaps = {f"r={r}": rounded(_gap(evidence, data, r)) for r in data.sweep}
        cause = little_to_tell_apart(evidence, data.vim, f"prune_redundant_r{high}")
        return Finding(difference(merged, pruned), facts, cause, {"merge_minus_prune": gaps})

    def growth(evidence: Evidence) -> Finding:
        rows = [
            evidence.free(data.vim, f"{m}_r{r}")
            for r in (low, high) for m in ("rmeeto", "prune_redundant")
        ]  # fmt: skip
        found = measure(lambda m1, p1, m2, p2: (m2 - p2) - (m1 - p1), *rows)
        gaps = ", ".join(f"r={r} {_gap(evidence, data, r).value:+.2f}" for r in data.sweep)
        cause = little_to_tell_apart(evidence, data.vim, f"prune_redundant_r{high}")
        return Finding(found, f"Merged minus pruned, points: {gaps}", cause)

    def most(evidence: Evidence) -> Finding:
        labels = ("r0", f"prune_most_r{high}", f"prune_least_r{high}", f"rmeeto_r{high}")
        rows = [evidence.free(data.vim, label) for label in labels]
        names = ("unreduced", "most informative pruned", "least informative pruned", "merged")
        facts = f"Top-1 at r={high}: {levels(dict(zip(names, rows, strict=True)))}"
        return Finding(difference(rows[0], rows[1]), facts)

    yield Question(
        f"merge-beats-prune-{data.key}",
        f"Merging redundant tokens beats pruning the same ones, r={high}, no training ({data})",
        "fig. speed (Vim-S at r=20: 54.6 against 44.9)", "merged − pruned > 0", Region(0), only, gap,
    )  # fmt: skip
    yield Question(
        f"gap-grows-{data.key}", f"The gap between merging and pruning grows with r, no training ({data})",
        "fig. speed (gaps .1/.2/1.6/9.7)", f"gap at r={high} − gap at r={low} > 0", Region(0), only,
        growth,
    )  # fmt: skip
    yield Question(
        f"informative-{data.key}", f"Pruning informative tokens breaks Mamba, r={high} ({data})",
        "abstract", f"loses more than {BREAKS:g} points (merging at r=15 loses 9 in the paper)",
        Region(BREAKS), only, most,
    )  # fmt: skip


def _gap(evidence: Evidence, data: DataSet, r: int) -> Interval:
    return difference(
        *(evidence.free(data.vim, f"{m}_r{r}") for m in ("rmeeto", "prune_redundant"))
    )


def _against_vit(data: DataSet) -> Iterator[Question]:
    r = data.mid
    for method, word in (("prune_redundant", "pruning"), ("rmeeto", "merging")):

        def find(evidence: Evidence, method: str = method) -> Finding:
            labels = ("r0", f"{method}_r{r}")
            rows = [evidence.free(host, label) for host in (data.vim, data.vit) for label in labels]
            found = measure(lambda a, b, c, d: 100 * (d / c - b / a), *rows, unit="%")
            facts = f"Top-1: Vim {levels({'unreduced': rows[0], 'reduced': rows[1]})}; " \
                    f"ViT {levels({'unreduced': rows[2], 'reduced': rows[3]})}"  # fmt: skip
            cause = "Both models keep their class token and 11 sites of equal r; ViT reduces at a twelfth"
            return Finding(found, facts, cause)

        yield Question(
            f"fragile-{word}-{data.key}",
            f"{word.capitalize()} hurts Mamba more than ViT, r={r}, no training ({data})",
            "abstract; project video (pruned at .42: Vim-S −10.6, DeiT-S −4.5)",
            "share of its accuracy that Vim loses beyond the share that ViT loses > 0", Region(0),
            tuple(f"{h}/free/{m}" for h in (data.vim, data.vit) for m in ("r0", method)), find,
        )  # fmt: skip


def _ablations(data: DataSet) -> Iterator[Question]:
    own = f"rmeeto_r{data.main}"

    def against(plain: str, labels: dict[str, str], statistic: Callable[..., np.ndarray]):
        def find(evidence: Evidence) -> Finding:
            rows = {plain: evidence.free(data.vim, own)}
            rows |= {name: evidence.free(data.vim, label) for name, label in labels.items()}
            cause = little_to_tell_apart(evidence, data.vim, own)
            found = measure(statistic, *rows.values())
            return Finding(found, f"Top-1: {levels(rows)}", cause)

        return find

    def best(own, *others):
        return least(*(own - other for other in others))

    r = f"_r{data.main}"
    asked = (
        ("shuffle", "in order", "The more tokens are shuffled, the lower the accuracy", "tab. 5",
         "smallest loss from one rate of 0/.1/.3/.5/.7 to the next > 0",
         {f"shuffled {x:g}": f"shuffle{x:g}{r}" for x in SHUFFLE}, _falls),
        ("merge-mode", "sum", "The size-weighted sum is the best way to merge", "tab. 17",
         "sum − best of mean, max, min > 0", {m: f"merge_{m}{r}" for m in MODES}, best),
        ("metric", "X", "The mixer's output X is the best feature to match on", "tab. 6",
         "X − best of B, C, Δ > 0",
         {m: f"metric_{m}{r}" for m in METRICS if m != "tokens"}, best),
        ("kth-free", "most similar", "Merging similar tokens beats merging less similar ones, no training",
         "tab. 15", "1st − best of 3rd, 5th, 7th, 14th most similar > 0",
         {f"{k}{'rd' if k == 3 else 'th'}": f"kth{k}{r}" for k in KTH}, best),
    )  # fmt: skip
    for name, plain, claim, source, threshold, labels, statistic in asked:
        yield Question(
            f"{name}-{data.key}", f"{claim}, r={data.main} ({data})", source, threshold, Region(0),
            tuple(f"{data.vim}/free/{label}" for label in (own, *labels.values())), against(plain, labels, statistic),
        )  # fmt: skip
    yield Question(
        f"cosine-is-l2-{data.key}", f"Cosine and l2 distance give the same model, r={data.main} ({data})",
        "follows from the method: features have unit length",
        "no test image that is right with one and wrong with the other, and equal predictions",
        Region(high=0.5), (f"{data.vim}/free/rmeeto", f"{data.vim}/free/distance"), _same(data),
    )  # fmt: skip


def _same(data: DataSet) -> Callable[[Evidence], Finding]:
    def find(evidence: Evidence) -> Finding:
        labels = (f"rmeeto_r{data.main}", f"distance_l2_r{data.main}", f"distance_l1_r{data.main}")
        cosine, l2, l1 = evidence.cells(*(f"{data.vim}/free/{label}" for label in labels))
        differ = float(np.sum(cosine.right != l2.right)) + (cosine.predicted != l2.predicted)
        facts = f"Top-1: {levels({'cosine': [cosine.right], 'l2': [l2.right], 'l1': [l1.right]})}"
        cause = "Where two scores differ by less than rounding, either may come first"
        return Finding(Interval(differ, differ, differ, "images"), facts, cause)

    return find
