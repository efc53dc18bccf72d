"""Claims about images of none of the classes: the separation loss, and what reduction does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from experiments.corrupted import mean_error
from experiments.detected import changes, far, over_seeds, paired, place
from experiments.evidence import Evidence, difference
from experiments.outlier_cells import HOST, PAPER
from experiments.store import Result

from .cost import speedup
from .questions import Finding, Question, Region

NAME = "Tiny ImageNet, 100 classes"
_PAPER = "arXiv 2405.17816"
_FPR = "fpr95_id_positive"
_FIRST = (f"{HOST}/trust/unreduced_oe/", f"{HOST}/trust/unreduced_{PAPER}/")


def outlier_questions() -> Iterator[Question]:
    """All of them; FPR95 counts ID as positive, as in the paper, and is a mean over the far sets."""
    yield from _subspaces()
    yield from _gain()
    yield from _parts()
    yield from _reduced()


def _runs(evidence: Evidence, objective: str, reducer: str = "unreduced", seeds=(0, 1, 2)) -> list[Result]:
    return evidence.cells(*(f"{HOST}/trust/{reducer}_{objective}/seed{s}" for s in seeds))


def _detect(evidence: Evidence, reducer: str, kind: str = "detect") -> list[Result]:
    return evidence.cells(f"{HOST}/{kind}/{reducer}")


def _subspaces() -> Iterator[Question]:
    def mixed(evidence: Evidence) -> Finding:
        (plain,) = _detect(evidence, "unreduced")
        found = plain.detection["geometry"]
        inside, outside = (place([plain], "outside", kind)[0] for kind in ("id", "far"))
        overlap = place([plain], "overlap", "far")[0]
        facts = (
            f"Share of a feature's length outside the class weights' span: ID {inside:.2f}, far OOD {outside:.2f}; "
            f"far OOD shares {overlap:.2f} of ID's {found['directions']} main directions"
        )
        (by_energy,) = far([plain], ["energy"], "auroc")
        return Finding(by_energy.interval("%"), facts, details=found)

    def same(evidence: Evidence) -> Finding:
        return _cosines(evidence, "oe")

    def moved(evidence: Evidence) -> Finding:
        return _cosines(evidence, PAPER)

    yield Question(
        "ood-mixes", f"Features of OOD images mix with those of ID images ({NAME})", f"{_PAPER}, fig. 1",
        "far AUROC of the model as trained, by energy, below 90 %: no score of the same features tells them apart well",
        Region(high=90), (f"{HOST}/detect/unreduced",), mixed,
    )  # fmt: skip
    yield Question(
        "oe-stays", f"Outlier exposure alone leaves OOD features in the subspace of the classes ({NAME})",
        f"{_PAPER}, table 7 (cosine 0.47 → 0.32)",
        "cosine to the predicted class on far OOD stays above half of the untreated model's",
        Region(low=0.5), (f"{HOST}/detect/unreduced", _FIRST[0]), same,
    )  # fmt: skip
    yield Question(
        "sep-moves", f"Separation moves unseen OOD features out of it ({NAME})",
        f"{_PAPER}, table 7 (cosine 0.47 → 0.00)",
        "cosine to the predicted class on far OOD falls below half of the untreated model's",
        Region(high=0.5), (f"{HOST}/detect/unreduced", _FIRST[1]), moved,
    )  # fmt: skip


def _cosines(evidence: Evidence, objective: str) -> Finding:
    """The far sets' cosine after an objective, as a share of the untreated model's."""
    plain, runs = _detect(evidence, "unreduced"), _runs(evidence, objective)
    before, after = place(plain, "cosine", "far") * len(runs), place(runs, "cosine", "far")
    inside = [*place(plain, "cosine", "id"), *place(runs, "cosine", "id")]
    facts = (
        f"Cosine on far OOD {before[0]:.2f} before, {'/'.join(f'{c:.2f}' for c in after)} after; "
        f"ID {inside[0]:.2f} before, {inside[1]:.2f} after"
    )
    places = {"outside": place(runs, "outside", "far"), "confidence": place(runs, "confidence", "far")}
    return Finding(paired(before, after, lambda a, b: b / a), facts, details=places)


def _gain() -> Iterator[Question]:
    def fpr(evidence: Evidence) -> Finding:
        oe, sep = _runs(evidence, "oe"), _runs(evidence, PAPER)
        # The paper reads OE by the largest softmax, and its own loss by its own score.
        pairs = {"paper": ("msp", "separation"), "msp": ("msp", "msp"), "energy": ("energy", "energy")}
        each = {name: changes(oe, sep, scores) for name, scores in pairs.items()}
        levels = [far(runs, [score] * 3, _FPR) for runs, score in ((oe, "msp"), (sep, "separation"))]
        facts = (
            "Far FPR95, mean of three seeds: OE by MSP "
            f"{_mean(levels[0]):.1f} %, with Sep and Clu by its score {_mean(levels[1]):.1f} %; change by energy "
            f"{over_seeds(each['energy']).value:+.1f}, by MSP in both {over_seeds(each['msp']).value:+.1f}"
        )
        details = {name: [_rounded(seed) for seed in found] for name, found in each.items()}
        return Finding(over_seeds(each["paper"]), facts, details=details)

    def accuracy(evidence: Evidence) -> Finding:
        oe, sep = _runs(evidence, "oe"), _runs(evidence, PAPER)
        rows = [[run.right for run in runs] for runs in (sep, oe)]
        shown = [" / ".join(f"{100 * right.mean():.1f}" for right in row) for row in rows]
        return Finding(difference(*rows), f"Top-1 with Sep and Clu {shown[0]}, with OE alone {shown[1]}")

    yield Question(
        "sep-fpr", f"Separation and clustering lower far FPR95 against outlier exposure alone ({NAME})",
        f"{_PAPER}, table 2 (37.77 → 29.47)", "by 3 points or more; OE read by MSP, the other by the paper's score",
        Region(high=-3), _FIRST, fpr,
    )  # fmt: skip
    yield Question(
        "sep-accuracy", f"and cost no accuracy ({NAME})", f"{_PAPER}, table 2", "less than 0.5 points lost",
        Region(low=-0.5), _FIRST, accuracy,
    )  # fmt: skip


def _parts() -> Iterator[Question]:
    def against_oe(objective: str, score: str) -> Callable[[Evidence], Finding]:
        def find(evidence: Evidence) -> Finding:
            runs = _runs(evidence, objective)
            found = changes(_runs(evidence, "oe"), runs, ("msp", score))
            level = _mean(far(runs, [score] * len(runs), _FPR))
            return Finding(over_seeds(found), f"Far FPR95 {level:.1f} % by {score}")

        return find

    def score(evidence: Evidence) -> Finding:
        runs = _runs(evidence, PAPER)
        found = changes(runs, runs, ("msp", "separation"))
        return Finding(over_seeds(found), f"By MSP {_mean(far(runs, ['msp'] * 3, _FPR)):.1f} %")

    paper = f"{_PAPER}, ablation (37.77; Sep 33.30, Clu 39.91, both 29.47)"
    yield Question(
        "sep-works", f"Separation without clustering lowers far FPR95 too ({NAME})", paper, "below 0 against OE",
        Region(high=0), (_FIRST[0], f"{HOST}/trust/unreduced_oe_sep/"), against_oe("oe_sep", "separation"),
    )  # fmt: skip
    yield Question(
        "clu-alone", f"Clustering without separation does not ({NAME})", paper, "not 1 point or more below OE",
        Region(low=-1), (_FIRST[0], f"{HOST}/trust/unreduced_oe_clu/"), against_oe("oe_clu", "msp"),
    )  # fmt: skip
    yield Question(
        "score-adds-little", f"The new score adds little to MSP on the same model ({NAME})",
        f"{_PAPER}, score ablation (29.96 → 29.47)", "far FPR95 changes by less than 2 points",
        Region(-2, 2), _FIRST[1:], score,
    )  # fmt: skip


def _reduced() -> Iterator[Question]:
    def against_plain(kind: str, reducer: str) -> Callable[[Evidence], Finding]:
        def find(evidence: Evidence) -> Finding:
            plain, reduced = _detect(evidence, "unreduced"), _detect(evidence, reducer, kind)
            found = changes(plain, reduced, ("energy", "energy"), "auroc")
            rows = [[r.right for r in results] for results in (reduced, plain)]
            facts = f"Accuracy changes by {difference(*rows).value:+.1f} points"
            return Finding(over_seeds(found), facts)

        return find

    def repaired(evidence: Evidence) -> Finding:
        plain, runs = _detect(evidence, "unreduced"), _runs(evidence, "trust", "merged")
        found = changes(plain, runs, ("energy", "energy"), "auroc")
        rows = [[r.right for r in results] for results in (runs, plain)]
        facts = f"By energy; accuracy changes by {difference(*rows).value:+.1f} points"
        return Finding(over_seeds(found), facts)

    def corrupted(evidence: Evidence) -> Finding:
        (plain,), runs = _detect(evidence, "unreduced"), _runs(evidence, "trust", "merged")
        before, *after = [mean_error(r.detection["corruptions"]) for r in (plain, *runs)]
        found = over_seeds([each - before for each in after])
        return Finding(found, f"{100 * before.value:.1f} % unreduced, {_mean(after):.1f} % rebuilt")

    plain = f"{HOST}/detect/"
    trusted = (plain, f"{HOST}/trust/merged_trust/")
    yield Question(
        "merge-keeps-ood", f"Merging without re-training leaves far-OOD detection as it was ({NAME})", "ours",
        "far AUROC by energy falls by less than 2 points", Region(low=-2), (plain,), against_plain("detect", "merged"),
    )  # fmt: skip
    yield Question(
        "prune-loses-ood", f"Pruning the same tokens does not ({NAME})", "ours",
        "far AUROC by energy falls by 2 points or more", Region(high=-2), (plain,), against_plain("detect", "pruned"),
    )  # fmt: skip
    yield Question(
        "trust-repairs", f"`rebuild --trust` keeps the far-OOD detection of the unreduced model ({NAME})", "ours",
        "far AUROC by energy falls by less than 1 point", Region(low=-1), trusted, repaired,
    )  # fmt: skip
    yield Question(
        "trust-corruptions", f"and classifies corrupted images no worse ({NAME})", "ours",
        "mean error under 15 corruptions rises by less than 1 point", Region(high=1), trusted, corrupted,
    )  # fmt: skip
    yield Question(
        "trust-faster", f"while it is faster ({NAME}, CPU)", "ours", "more than 1.4 times, batch 128", Region(1.4),
        (f"{HOST}/speed/merged",), lambda evidence: Finding(speedup(evidence, HOST, "merged"), "Interleaved"),
    )  # fmt: skip


def _mean(found) -> float:
    return 100 * sum(each.value for each in found) / len(found)


def _rounded(found) -> list[float]:
    interval = found.interval("pt")
    return [round(x, 2) for x in (interval.value, interval.low, interval.high)]
