"""Whether a model's answer for an image depends on the images beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ...data import ImageSource
from ...evaluation import batch_order_invariance
from ...profiling import ImageInput
from ...reporting import Metric
from ..folder import RunFolder
from .extra import Extra
from .inputs import Candidate

_IMAGES = 16
_NOTICED = 1e-3
"""Logits that move by more are stated; rounding moves them by about 1e-5."""


def batch_extra(
    folder: RunFolder, candidates: Sequence[Candidate], source: ImageSource, seed: int
) -> Extra:
    """The largest difference of a logit between a batch of 16, the batch shuffled, and images alone."""
    metrics, notes = [], []
    for c in candidates:
        moved = folder.value(
            f"batch_{c.fingerprint[:12]}_{source.fingerprint()[:12]}",
            lambda c=c: _moved(c, source, seed),
        )
        metrics.append(
            Metric("batch_dependence", moved, "logits", "lower", group=c.letter, note=_NOTE)
        )
        if not moved <= _NOTICED:
            notes.append(
                f"{c.letter}: logits move by {moved:.2g} with the images beside an image: every figure here "
                "depends on the batch"
            )
    return Extra(metrics=metrics, notes=notes)


_NOTE = f"largest change of a logit when {_IMAGES} images are shuffled or run one by one"


def _moved(candidate: Candidate, source: ImageSource, seed: int) -> float:
    images = ImageInput(source, candidate.preprocessing)(min(_IMAGES, len(source)))
    found = batch_order_invariance(candidate.model, images, seed).largest
    return found if found == found else float("inf")
