"""Records of runs and what people read of them: terminal tables, one-file reports, claims."""

from .claims import Claim, claims_markdown, load_claims, save_claims
from .html import write_report
from .record import (
    LayerTokens,
    MergePicture,
    MergeView,
    Metric,
    Point,
    RunRecord,
    Series,
    Table,
    Verdict,
)
from .render import print_record, render_text

__all__ = [
    "Claim",
    "LayerTokens",
    "MergePicture",
    "MergeView",
    "Metric",
    "Point",
    "RunRecord",
    "Series",
    "Table",
    "Verdict",
    "claims_markdown",
    "load_claims",
    "print_record",
    "render_text",
    "save_claims",
    "write_report",
]
