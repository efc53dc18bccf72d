"""Detection metrics as functions of counts: how many images of either set have each score.

Counts make ties exact (images of one score are accepted or rejected together) and let a bootstrap
compute all its draws at once: every function works on the last axis and keeps the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Images at each of G distinct outlier scores, in increasing order of score."""

    id: Array
    """(…, G) ID images."""
    ood: Array
    """(…, G) OOD images."""
    right: Array
    """(…, G) ID images that are classified correctly; those of ``id`` where nobody said."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The place of every image among the distinct scores of both sets."""

    size: int
    """G, distinct scores."""
    id: NDArray[np.int64]
    """(n_i,) place of each ID image."""
    ood: NDArray[np.int64]
    """(n_o,) place of each OOD image."""
    right: NDArray[np.bool_]
    """(n_i,) whether the image is classified correctly."""

    @classmethod
    def of(cls, id_scores: Array, ood_scores: Array, right: NDArray[np.bool_] | None) -> Groups:
        """Sort the scores of both sets together."""
        values, places = np.unique(np.concatenate([id_scores, ood_scores]), return_inverse=True)
        n = len(id_scores)
        right = np.ones(n, np.bool_) if right is None else right
        return cls(len(values), places[:n], places[n:], right)

    def counts(
        self, id_picks: NDArray[np.int64] | None = None, ood_picks: NDArray[np.int64] | None = None
    ) -> Counts:
        """Counts of the sets themselves, (1, G), or of resamples, (draws, n) indices → (draws, G)."""
        id_picks = np.arange(len(self.id))[None] if id_picks is None else id_picks
        ood_picks = np.arange(len(self.ood))[None] if ood_picks is None else ood_picks
        id_places = self.id[id_picks]
        inside = _count(id_places, self.size)
        right = inside
        if not self.right.all():
            right = _count(id_places, self.size, self.right[id_picks].astype(np.float64))
        return Counts(inside, _count(self.ood[ood_picks], self.size), right)


def _count(places: NDArray[np.int64], size: int, weights: Array | None = None) -> Array:
    rows = len(places)
    flat = (places + size * np.arange(rows)[:, None]).ravel()
    weights = None if weights is None else weights.ravel()
    return np.bincount(flat, weights, rows * size).reshape(rows, size).astype(np.float64)


def _total(x: Array) -> Array:
    return x.sum(-1)


def area_roc(c: Counts) -> Array:
    """P(s_ood > s_id) + ½ P(equal)."""
    below = np.cumsum(c.id, -1) - c.id / 2
    return _total(c.ood * below) / (_total(c.id) * _total(c.ood))


def area_oscr(c: Counts) -> Array:
    """P(an ID image is right and below an OOD image) + ½ P(right and equal)."""
    below = np.cumsum(c.right, -1) - c.right / 2
    return _total(c.ood * below) / (_total(c.id) * _total(c.ood))


def average_precision(found: Array, others: Array) -> Array:
    """Σ precision · Δrecall, walking from the first score to the last; equal scores in one step."""
    hits = np.cumsum(found, -1)
    seen = hits + np.cumsum(others, -1)
    precision = hits / np.maximum(seen, 1)
    return _total(precision * found) / _total(found)


def false_positives(positives: Array, others: Array, share: float) -> Array:
    """Share of ``others`` up to the first score at which ``share`` of the positives is reached."""
    need = np.ceil(share * _total(positives) - 1e-9)[..., None]
    at = np.argmax(np.cumsum(positives, -1) >= need, axis=-1)[..., None]
    return np.take_along_axis(np.cumsum(others, -1), at, -1)[..., 0] / _total(others)


def least_error(c: Counts) -> Array:
    """min over thresholds of ½ (OOD accepted + ID rejected)."""
    accepted = np.cumsum(c.ood, -1) / _total(c.ood)[..., None]
    rejected = 1 - np.cumsum(c.id, -1) / _total(c.id)[..., None]
    return ((accepted + rejected) / 2).min(-1)  # the last threshold accepts all: never above 0.5


def _flip(x: Array) -> Array:
    return x[..., ::-1]


def _fpr_id(c: Counts, share: float) -> Array:
    return false_positives(c.id, c.ood, share)


def _fpr_ood(c: Counts, share: float) -> Array:
    return false_positives(_flip(c.ood), _flip(c.id), share)


METRICS: dict[str, Callable[[Counts], Array]] = {
    "auroc": area_roc,
    "aupr_out": lambda c: average_precision(_flip(c.ood), _flip(c.id)),
    "aupr_in": lambda c: average_precision(c.id, c.ood),
    "fpr95_id_positive": partial(_fpr_id, share=0.95),
    "fpr95_ood_positive": partial(_fpr_ood, share=0.95),
    "detection_error": least_error,
    "oscr": area_oscr,
}
"""Every detection metric by name, a fraction in [0, 1]."""
