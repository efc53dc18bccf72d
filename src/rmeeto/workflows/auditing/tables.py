"""An audit's lines as the metrics and tables of its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...evaluation import detection_estimates, flips, per_class_accuracy
from ...evaluation.detection import DetectionScores
from ...evaluation.intervals import Interval
from ...reporting import Metric, Table
from ...reporting.numbers import MINUS, number
from ...reporting.verdicts import SAME
from .inputs import OutlierSet
from .lines import FAMILIES, Line, average
from .outputs import Scored

_SHOWN = {"auroc": "AUROC", "fpr95_id_positive": "FPR95"}


def metrics(lines: Sequence[Line]) -> list[Metric]:
    """The ID figures and the near and far averages: groups "A", "B" and "B − A"."""
    found = []
    for line in lines:
        name = _metric_name(line)
        if name is not None:
            found += _of_models(name, line)
    return found


def _metric_name(line: Line) -> str | None:
    if line.part == "ID":
        return f"{line.measure}@{line.score}" if line.score else line.measure
    if line.part.startswith("shift: ") and line.measure == "top1":
        return f"shift_top1@{line.part.removeprefix('shift: ')}"
    for family in FAMILIES:
        if line.part == average(family):
            return f"{family}_{line.measure}"
    for kind in ("near", "far"):
        if line.part == average(kind) and line.measure in _SHOWN:
            return f"{kind}_{_SHOWN[line.measure].lower()}@{line.score}"
    return None


def _of_models(name: str, line: Line) -> list[Metric]:
    columns = {"A": line.a, "B": line.b, "B − A": line.change}
    return [
        Metric(
            name,
            i.value,
            "points" if i.unit == "pt" else i.unit,
            line.direction,
            i.low,
            i.high,
            group=group,
        )
        for group, i in columns.items()
        if i is not None
    ]


def set_tables(lines: Sequence[Line], outliers: Sequence[OutlierSet]) -> list[Table]:
    """For each OOD set: every score's AUROC and FPR95, side by side."""
    return [_set_table([x for x in lines if x.part == o.title], o) for o in outliers]


def _set_table(lines: Sequence[Line], outlier: OutlierSet) -> Table:
    by_score = {(x.score, x.measure): x for x in lines}
    scores = list(dict.fromkeys(x.score for x in lines))
    paired = any(x.b is not None for x in lines)
    rows = [(s, *(cell for m in _SHOWN for cell in shown(by_score[s, m]))) for s in scores]
    titles = ("{} A", "B", "B − A", "") if paired else ("{}",)
    columns = ["score", *(t.format(word) for word in _SHOWN.values() for t in titles)]
    title = f"{outlier.title} ({len(outlier.source)} images)"
    return Table(title, tuple(columns), tuple(rows), note=_SET_NOTE)


_SET_NOTE = (
    "Percent, B − A in points on the same images, in brackets the 95 % interval over images; same: it holds 0. "
    "AUROC: 50 is chance, more is better. FPR95: OOD images accepted where 95 % of ID images are, less is better."
)


def shown(line: Line, digits: int = 1) -> tuple[str, ...]:
    """One model's value with its interval; or both values, the change with its interval, a verdict."""
    if line.b is None or line.change is None:
        return (with_interval(line.a, digits=digits),)
    word = "same" if line.verdict == SAME else line.verdict
    values = (number(interval.value, digits) for interval in (line.a, line.b))
    return *values, with_interval(line.change, signed=True, digits=digits), word


def with_interval(interval: Interval, signed: bool = False, digits: int = 1) -> str:
    """Value and ends with so many digits after the point, such as "91.0 (90.1–91.8)"."""
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (number(x, digits, signed) for x in ends)
    apart = " to " if signed or MINUS in low else "–"
    return f"{value} ({low}{apart}{high})"


def corruption_table(lines: Sequence[Line], family: str, about: str) -> Table:
    """Errors of a family: clean, by corruption, their mean, and relative to A's for two models."""
    paired = any(x.b is not None for x in lines)
    columns = ("images", *(("A", "B", "B − A", "") if paired else ("error",)))
    rows = tuple((_row_name(x), *shown(x)) for x in lines)
    note = (
        "Percent of images classified wrongly, mean over severities; B − A in points on the same images, in "
        "brackets the 95 % interval over images. Less is better."
    )
    return Table(f"Errors under {family} ({about})", columns, rows, note)


def _row_name(line: Line) -> str:
    return "relative to A (mCE)" if line.measure == "mce" else line.part


def full_table(lines: Iterable[Line]) -> Table:
    """Every line in numbers."""
    columns = ("set", "score", "measure", "unit", "better", "A", "A low", "A high", "B", "B low",
               "B high", "B − A", "low", "high", "verdict")  # fmt: skip
    rows = tuple(
        (x.part, x.score, x.measure, x.a.unit, x.direction, *_ends(x.a), *_ends(x.b),
         *_ends(x.change), x.verdict)
        for x in lines
    )  # fmt: skip
    note = (
        "fpr95_id_positive: OOD accepted where 95 % of ID are; fpr95_ood_positive: ID rejected where "
        "95 % of OOD are. Of lines that are the same in truth, one in twenty differs by chance."
    )
    return Table("All measures", columns, rows, note, folded=True)


def _ends(interval: Interval | None) -> tuple[float | None, ...]:
    if interval is None:
        return None, None, None
    ends = (interval.value, interval.low, interval.high)
    return tuple(float(x) if np.isfinite(x) else None for x in ends)


def class_table(models: Sequence[Scored], classes: Sequence[str]) -> Table:
    """Accuracy class by class, and its change."""
    labels = models[0].inside.labels
    accuracy = [per_class_accuracy(m.inside.logits, m.inside.labels) for m in models]
    images = np.bincount(labels, minlength=len(accuracy[0]))
    rows = []
    for k in np.flatnonzero(images).tolist():
        values = [float(a[k]) for a in accuracy]
        rows.append(
            (
                classes[k],
                int(images[k]),
                *values,
                *([values[1] - values[0]] if len(values) > 1 else []),
            )
        )
    columns = ("class", "images", "A %", "B %", "B − A, points")[: 2 + len(rows[0][2:])]
    folded = True if len(rows) > 40 else None
    return Table("Accuracy class by class", columns, tuple(rows), folded=folded)


def flip_table(before: Scored, after: Scored) -> Table:
    """How many answers changed, by kind."""
    a, b = (m.inside.logits.argmax(1) for m in (before, after))
    found = flips(a, b, before.inside.labels)
    kinds = {
        "right in A, wrong in B": found.correct_to_wrong,
        "wrong in A, right in B": found.wrong_to_correct,
        "wrong in both, another class": found.wrong_to_other,
        "any": round(found.rate * found.images),
    }
    rows = tuple((kind, count, 100 * count / found.images) for kind, count in kinds.items())
    return Table("Changed answers on the ID images", ("change", "images", "%"), rows)


def transfer_table(lines: Sequence[Line]) -> Table:
    """What happens when B is deployed with A's threshold."""
    rows = tuple((x.score, x.part, _WORDS[x.measure], *shown(x)) for x in lines)
    note = (
        "The threshold that accepts 95 % of A's ID images, kept for B: what breaks silently when a model is "
        "changed under a detector. Percent of images; less is better in both."
    )
    columns = ("score", "images", "share", "A", "B", "B − A", "")
    return Table("A's threshold kept on B", columns, rows, note, folded=True)


_WORDS = {"id_rejected": "rejected", "ood_accepted": "accepted"}


def low_level_table(
    values: Sequence[dict[str, np.ndarray]], outliers: Sequence[OutlierSet], seed: int, draws: int
) -> tuple[Table, list[str]]:
    """Sharpness, brightness and contrast as OOD scores, and warnings where they are enough.

    Args:
        values: name → (n,) of the ID images, then of each OOD set.
    """
    rows, notes = [], []
    for k, outlier in enumerate(outliers):
        for name, inside in values[0].items():
            pair = (DetectionScores(inside, values[k + 1][name]),)
            (found,) = detection_estimates(pair, ("auroc",), seed, draws, stream=k)
            area = found["auroc"].interval("%")
            either_way = max(area.value, 100 - area.value)
            rows.append((outlier.title, name, with_interval(area), either_way))
            if either_way >= _TOLD_APART:
                notes.append(
                    f"{outlier.title}: {name} of the raw images alone has an AUROC of "
                    f"{either_way:.0f} %: telling this set apart proves little"
                )
    title, columns = "Without a model", ("set", "score", "AUROC", "whichever way round")
    note = "Larger = more OOD; below 50 the OOD images have less of it. No model should do worse than these."
    return Table(title, columns, tuple(rows), note), notes


_TOLD_APART = 90.0
