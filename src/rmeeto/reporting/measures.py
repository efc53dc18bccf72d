"""The measures that reports know by name, and the three stages laid side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .numbers import change, decimals, number
from .record import Metric, RunRecord
from .verdicts import BETTER, SAME, change_verdict

STAGES = {
    "baseline": "Baseline",
    "reduced": "Training-free",
    "retrained": "Re-trained",
    "control": "Control, not reduced",
}

_CHANGE = "B − A"
PAIR = {"A": "A", "B": "B", _CHANGE: f"{_CHANGE}, paired"}
"""Groups of an audit: one model, or two and their paired change, whose verdict is shown."""

MEASURES = {
    "top1": ("Accuracy", "Top-1"),
    "top5": ("Accuracy", "Top-5"),
    "top1_change": ("Accuracy", "Top-1, paired change"),
    "top5_change": ("Accuracy", "Top-5, paired change"),
    "gain_over_size_line": ("Accuracy", "Gain over size line"),
    "real_top1": ("Accuracy", "Top-1, any right label (ReaL)"),
    "worst_class": ("Accuracy", "Worst class"),
    "aurc": ("Accuracy", "Risk over coverage (AURC, by msp)"),
    "nll": ("Calibration", "Negative log-likelihood"),
    "brier": ("Calibration", "Brier score"),
    "ece": ("Calibration", "Calibration error (ECE)"),
    "adaptive_ece": ("Calibration", "Calibration error, equal bins"),
    "error_auroc": ("Own errors found: AUROC, right against wrong answers", "AUROC"),
    "id_rejected": ("ID images rejected at the threshold that accepts 95 % in A", "Rejected"),
    "near_auroc": ("Near OOD found: AUROC, mean of sets", "AUROC"),
    "near_fpr95": ("Near OOD accepted where 95 % of ID are: FPR95, mean of sets", "FPR95"),
    "far_auroc": ("Far OOD found: AUROC, mean of sets", "AUROC"),
    "far_fpr95": ("Far OOD accepted where 95 % of ID are: FPR95, mean of sets", "FPR95"),
    "shift_top1": ("Shifted images: top-1", "Top-1"),
    "batch_dependence": ("Robustness", "Logits moved by the batch"),
    "corruptions_error": ("Robustness", "Error under corruptions, mean"),
    "corruptions_mce": ("Robustness", "Error under corruptions, relative to A (mCE)"),
    "perspective_error": ("Robustness", "Error under perspective, mean"),
    "perspective_mce": ("Robustness", "Error under perspective, relative to A"),
    "backgrounds_error": ("Robustness", "Error under edited backgrounds, mean"),
    "backgrounds_mce": ("Robustness", "Error under edited backgrounds, relative to A"),
    "cascade_top1": ("Cascade", "Top-1, cascade"),
    "cascade_top1_a": ("Cascade", "Top-1, A alone"),
    "cascade_top1_b": ("Cascade", "Top-1, B alone"),
    "cascade_change": ("Cascade", "Top-1, cascade − A, paired"),
    "cascade_handed_on": ("Cascade", "Images handed on to A"),
    "cascade_cost": ("Cascade", "Cost of an image"),
    "cascade_cost_ratio": ("Cascade", "Cost, cascade over A"),
    "images_per_s": ("Speed", "Images per second"),
    "speedup": ("Speed", "Speed-up"),
    "flops_ceiling_realised": ("Speed", "Share of the FLOPs ceiling"),
    "latency_p50": ("Speed", "Latency, median"),
    "latency_p80": ("Speed", "Latency, 80 % within"),
    "latency_p95": ("Speed", "Latency, 95 % within"),
    "latency_p99": ("Speed", "Latency, 99 % within"),
    "gflops_paper": ("Cost", "Compute, paper's count"),
    "gflops_full": ("Cost", "Compute, full count"),
    "tokens_mean": ("Cost", "Tokens, mean of blocks"),
    "tokens_last": ("Cost", "Tokens, last block"),
    "peak_memory": ("Cost", "Peak memory"),
    "parameters": ("Cost", "Parameters"),
}
"""Measure → (section, label); a batch size or a score rides behind an @ ("images_per_s@32")."""

_KEYS, OTHER = list(MEASURES), "Other"


@dataclass(frozen=True)
class Cell:
    """One measure at one stage, ready to print."""

    value: str
    interval: str = ""
    change: str = ""
    better: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One measure across the stages; a stage without it has None."""

    label: str
    unit: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Section:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class BeforeAfter:
    """The table that a report is about: stages across, measures down."""

    stages: tuple[str, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    """How measures were taken, one sentence each."""
    title: str = "Before and after"
    legend: str = "or the change against the baseline"
    """What small figures are where they are no interval."""


def label(name: str) -> str:
    """A measure's name in words: "images_per_s@32" → "Images per second, batch 32"."""
    base, _, batch = name.partition("@")
    words = MEASURES[base][1] if base in MEASURES else base.replace("_", " ")
    if batch and not batch.isdigit():
        return batch  # a score: its section names the measure
    return f"{words}, batch {batch}" if batch else words


def before_after(record: RunRecord) -> BeforeAfter | None:
    """Stages (or the two models of an audit) side by side, or None where no metric has one."""
    columns = _columns(record)
    stages = [s for s in columns if any(m.group == s for m in record.metrics)]
    found = {(m.name, m.group): m for m in record.metrics if m.group in columns}
    names = sorted(dict.fromkeys(name for name, _ in found), key=_order)
    sections: dict[str, list[Row]] = {}
    for name in names:
        told = name.replace("images_per_s", "speedup") in names and name.startswith("images_per_s")
        compare = not told and columns is STAGES
        row = _row(name, [found.get((name, stage)) for stage in stages], compare)
        sections.setdefault(MEASURES.get(name.partition("@")[0], (OTHER,))[0], []).append(row)
    built = tuple(Section(title, tuple(rows)) for title, rows in sections.items())
    if not stages:
        return None
    names_, notes = tuple(columns[s] for s in stages), _notes(record)
    if columns is PAIR:
        return BeforeAfter(names_, built, notes, "Side by side", "and what the change amounts to")
    return BeforeAfter(names_, built, notes)


def _columns(record: RunRecord) -> dict[str, str]:
    """The groups that are laid side by side."""
    return PAIR if any(m.group in PAIR for m in record.metrics) else STAGES


def _notes(record: RunRecord) -> tuple[str, ...]:
    columns = _columns(record)
    noted = [m for m in record.metrics if m.group in columns and m.note]
    noted.sort(key=lambda m: _order(m.name))
    return tuple(dict.fromkeys(f"{label(m.name.partition('@')[0])}: {m.note}" for m in noted))


def other_groups(record: RunRecord) -> dict[str, list[Row]]:
    """Metrics of no stage, one row each, by their group."""
    groups: dict[str, list[Row]] = {}
    for metric in record.metrics:
        if metric.group not in STAGES and metric.group not in PAIR:
            groups.setdefault(metric.group, []).append(_row(metric.name, [metric]))
    return groups


def _order(name: str) -> tuple[int, float]:
    """Known measures in their order, batches by size, unknown measures last, as they came."""
    base, _, batch = name.partition("@")
    place = _KEYS.index(base) if base in MEASURES else len(_KEYS)
    return place, float(batch) if batch.isdigit() else 0.0


def _row(name: str, metrics: list[Metric | None], compare: bool = True) -> Row:
    """One measure; ``compare`` is off where another row says how it stands to the baseline."""
    present = [m for m in metrics if m is not None]
    digits = _digits(present)
    base = metrics[0] if compare and len(metrics) > 1 else None
    cells = tuple(m and _cell(m, None if m is base else base, digits) for m in metrics)
    unit = present[0].unit
    return Row(label(name), "" if unit in ("×", "images/s") else unit, cells)


def _digits(metrics: Iterable[Metric]) -> int:
    """One number of decimals for the whole row, so that its points line up in the eye."""
    known = [m for m in metrics if m.value is not None]
    if all(float(m.value or 0).is_integer() and m.low is None for m in known):
        return 0
    digits = max((decimals(m.value or 0.0, _half_width(m)) for m in known), default=0)
    return min(digits, 2) if all(m.unit == "×" for m in known) else digits


def _half_width(metric: Metric) -> float | None:
    if metric.low is None or metric.high is None:
        return None
    return (metric.high - metric.low) / 2


def _cell(metric: Metric, base: Metric | None, digits: int) -> Cell:
    signed = metric.unit == "points" or metric.group == _CHANGE
    sign = "×" if metric.unit == "×" else ""
    interval = ""
    if metric.low is not None and metric.high is not None:
        apart = " to " if signed or metric.low < 0 else "–"
        low, high = (number(v, digits, signed) for v in (metric.low, metric.high))
        interval = f"{low}{apart}{high}"
    shown = number(metric.value, digits, signed) + sign
    return Cell(shown, interval, *_against(metric, base), metric.note or "")


def _against(metric: Metric, base: Metric | None) -> tuple[str, bool | None]:
    """The change from the baseline and whether it is a gain; percentages need none.

    The paired change of an audit has its verdict there.
    """
    if metric.group == _CHANGE:
        verdict = change_verdict(metric.low, metric.high, metric.direction)
        return verdict, None if verdict == SAME else verdict == BETTER
    ours, theirs = metric.value, base.value if base else None
    if metric.unit in ("%", "points", "×") or not ours or not theirs or ours == theirs:
        return "", None
    return change(ours, theirs), (ours > theirs) == (metric.direction == "higher")
