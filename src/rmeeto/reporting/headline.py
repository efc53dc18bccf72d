"""The record in one plain sentence."""

from __future__ import annotations

from ..errors import RmeetoError
from .numbers import THIN, duration, number
from .record import RunRecord


def headline(record: RunRecord) -> str:
    """What happened, in plain words; the record's own headline wins over the composed one."""
    if record.headline:
        return record.headline
    told = ", ".join(filter(None, (_merged(record), *_accuracy(record))))
    text = "; ".join(filter(None, (told, _speed(record), _unknown(record))))
    return f"{text[0].upper()}{text[1:]}." if text else f"Results of rmeeto {record.command}."


def merged_share(record: RunRecord) -> float | None:
    """1 − mean tokens of a block after / before, or None without both counts."""
    counts = {layers.name: layers.tokens for layers in record.tokens_per_layer}
    before = counts.get("baseline")
    after = counts.get("reduced", counts.get("retrained"))
    if not before or not after or not sum(before):
        return None
    return 1 - (sum(after) / len(after)) / (sum(before) / len(before))


def _merged(record: RunRecord) -> str:
    share = merged_share(record)
    return f"merged {number(100 * share, 0)}{THIN}% of the tokens" if share else ""


def _accuracy(record: RunRecord) -> list[str]:
    base, reduced, retrained = (
        _value(record, "top1", stage) for stage in ("baseline", "reduced", "retrained")
    )
    told = []
    if base is not None and reduced is not None:
        told.append(_lost(base - reduced) + _noise(record, "reduced"))
    if reduced is not None and retrained is not None:
        told.append(_regained(retrained - reduced) + _took(record))
    elif base is not None and retrained is not None:
        told.append(_lost(base - retrained) + _noise(record, "retrained") + _took(record))
    return told


def _lost(points: float) -> str:
    if abs(points) < 0.05:
        return "lost no accuracy"
    return f"{'lost' if points > 0 else 'gained'} {number(abs(points), 1)} points"


def _noise(record: RunRecord, stage: str) -> str:
    """A reminder where the paired interval of a change holds zero."""
    found = [m for m in record.metrics if (m.name, m.group) == ("top1_change", stage)]
    within = any(m.low is not None and m.high is not None and m.low <= 0 <= m.high for m in found)
    return " (within the noise)" if within else ""


def _regained(points: float) -> str:
    if points < -0.05:
        return f"lost {number(-points, 1)} more by re-training"
    return f"got {number(abs(points), 1)} back"


def _took(record: RunRecord) -> str:
    seconds = record.timings.get("retrain")
    return f" in {duration(seconds)}" if seconds else ""


def _speed(record: RunRecord) -> str:
    """Speed at batch 32, or at the largest batch that was measured."""
    found = {
        int(m.name.partition("@")[2]): m
        for m in record.metrics
        if m.name.startswith("speedup@") and m.name.partition("@")[2].isdigit() and m.value
    }
    if not found:
        return ""
    batch = 32 if 32 in found else max(found)
    metric, ratio = found[batch], found[batch].value or 1.0
    if metric.low is not None and metric.high is not None and metric.low <= 1 <= metric.high:
        return f"no measurable change of speed at batch {batch}"
    word = "faster" if ratio >= 1 else "slower"
    return f"{number(max(ratio, 1 / ratio), 2)}× {word} at batch {batch}"


def _unknown(record: RunRecord) -> str:
    """How well images of no known class are told apart, before and after."""
    pairs = {
        kind: [_value(record, f"{kind}_auroc@energy", stage) for stage in ("baseline", "retrained")]
        for kind in ("near", "far")
    }
    told = [
        f"{kind} {number(a, 1)} → {number(b, 1)}{THIN}%"
        for kind, (a, b) in pairs.items() if a is not None and b is not None
    ]  # fmt: skip
    return f"unknown images found (AUROC by energy): {', '.join(told)}" if told else ""


def _value(record: RunRecord, name: str, group: str) -> float | None:
    try:
        return record.metric(name, group).value
    except RmeetoError:
        return None
