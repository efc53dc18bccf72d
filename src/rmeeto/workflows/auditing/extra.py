"""What a part of an audit adds to its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...reporting import Metric, Series, Table
from .lines import Line


@dataclass(frozen=True)
class Extra:
    """Lines of "All measures", metrics besides those of lines, tables, curves and warnings."""

    lines: Sequence[Line] = ()
    metrics: Sequence[Metric] = ()
    tables: Sequence[Table] = ()
    series: Sequence[Series] = ()
    notes: Sequence[str] = ()
