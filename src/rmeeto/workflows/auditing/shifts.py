"""The same classes under other conditions: shifted test sets, and images with several right answers."""

from __future__ import annotations

from collections.abc import Sequence

from ...evaluation import estimate, real_correct
from ...reporting import Table
from .extra import Extra
from .inputs import Images
from .labels import LabelSets
from .lines import Line, line_of, set_lines
from .outputs import Keeper, Scored
from .tables import shown


def shift_extra(
    keeper: Keeper, models: Sequence[Scored], images: Images, seed: int, draws: int
) -> Extra:
    """Accuracy and calibration on each shifted set, beside those on the ID images."""
    lines: list[Line] = []
    for source in images.shifted:
        kept = [keeper.outputs(m.candidate, source) for m in models]
        lines += set_lines(f"shift: {source.name}", kept, seed, draws)
    if not lines:
        return Extra()
    usual = set_lines("ID", [m.inside for m in models], seed, draws)
    rows = [line for line in (*usual, *lines) if line.measure in ("top1", "ece")]
    return Extra(lines, tables=[_table(rows)])


def _table(lines: Sequence[Line]) -> Table:
    titles = {"top1": "top-1", "ece": "ECE"}
    values = ("A", "B", "B − A", "") if lines[0].b is not None else ("A",)
    rows = tuple((x.part, titles[x.measure], *shown(x)) for x in lines)
    note = (
        "Percent; answers among all classes of the model. B − A in points on the same images, in brackets the "
        "95 % interval over images."
    )
    return Table("The same classes, shifted", ("images", "measure", *values), rows, note)


def real_extra(models: Sequence[Scored], sets: LabelSets, seed: int, draws: int) -> Extra:
    """Top-1 where any of an image's labels is right, over the images that have labels."""
    inside = [m.inside for m in models]
    ids = inside[0].ids
    flags = [real_correct(kept.logits, [sets[i] for i in ids])[0] for kept in inside]
    parts = [
        estimate(lambda picks, f=f: float(f[picks].mean()), len(f), seed, draws) for f in flags
    ]
    line = line_of("ID", "", "real_top1", "higher", parts, "%")
    left_out = len(ids) - len(flags[0])
    note = f"ReaL labels: {left_out} of {len(ids)} ID images have none and are left out"
    return Extra([line], notes=[note] if left_out else [])
