"""How well scores tell ID from OOD images: exact with ties, every FPR named by what is positive.

Outlier scores: larger means more OOD. A confidence has to be negated. All results are fractions in
[0, 1] (`accuracy` is in percent).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_share, flag_vector, score_vector
from .ranking import METRICS, Groups


class EqualScoresWarning(UserWarning):
    """All scores are the same number, so a metric can only say that it is chance."""


def auroc(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """``P(s_ood > s_id) + ½ P(s_ood = s_id)``: 0.5 is chance, less points to a wrong sign.

    It does not depend on which set is called positive, nor on how many images either has.

    Args:
        id_scores: (n_i,) outlier scores of ID images, float32 or float64.
        ood_scores: (n_o,) of OOD images.

    Returns:
        Fraction in [0, 1]. When all scores are equal it is 0.5, with an `EqualScoresWarning`.

    Raises:
        ShapeError: an empty set, half precision, NaN or infinite scores.

    Source: Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve".

    Example:
        >>> auroc([0.0, 1.0], [1.0, 2.0])
        0.875
    """
    return _measure("auroc", id_scores, ood_scores)


def aupr_out(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Average precision with OOD positive, ``Σ precision · Δrecall`` over the distinct scores.

    Chance is the share of OOD images, so values of sets of other sizes don't compare. OpenOOD and
    pytorch-ood take trapezoids instead, which differ where scores are tied.

    Args and Raises: as `auroc`.

    Returns:
        Fraction in [0, 1].
    """
    return _measure("aupr_out", id_scores, ood_scores)


def aupr_in(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Average precision with ID positive and the negated score (otherwise as `aupr_out`)."""
    return _measure("aupr_in", id_scores, ood_scores)


def fpr95_id_positive(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Share of OOD images accepted by the threshold that accepts 95 % of ID images.

    The threshold is `threshold_at`: the least score that accepts 95 % or more; images at the
    threshold are accepted. It needs ID images only, so it is the one that can be deployed.

    Args and Raises: as `auroc`.

    Returns:
        Fraction in [0, 1]; lower is better. **Not** the number of OpenOOD and pytorch-ood.

    Source: the sense of ODIN, Mahalanobis (as TNR at TPR 95), Energy, kNN and Separation Loss.
    """
    return _measure("fpr95_id_positive", id_scores, ood_scores)


def fpr95_ood_positive(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Share of ID images rejected by the threshold that catches 95 % of OOD images.

    The threshold is the largest score that catches 95 % or more; images at it are rejected.

    Args and Raises: as `auroc`.

    Returns:
        Fraction in [0, 1]; lower is better. **Not** the number of most papers' tables.

    Source: the sense of OE's test script, OpenOOD 1.5 and pytorch-ood.
    """
    return _measure("fpr95_ood_positive", id_scores, ood_scores)


def detection_error(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """``min over thresholds of ½ (OOD accepted + ID rejected)``, from 0 to 0.5 (args as `auroc`)."""
    return _measure("detection_error", id_scores, ood_scores)


def oscr(id_scores: ArrayLike, correct: ArrayLike, ood_scores: ArrayLike) -> float:
    """Area under correct-classification rate against false-positive rate.

    ``P(ID image right and s_id < s_ood) + ½ P(right and equal)``: the AUROC where a wrong answer on
    an ID image counts as a miss. Never above the accuracy, equal to the AUROC at 100 %.

    Args:
        id_scores: (n_i,) outlier scores of ID images.
        correct: (n_i,) whether each is classified correctly (see `correct`).
        ood_scores: (n_o,) outlier scores of OOD images.

    Raises:
        ShapeError: as `auroc`, or ``correct`` of another length.

    Source: Dhamija et al. 2018, "Reducing Network Agnostophobia"; the area as in Vaze et al. 2022.
    """
    inside = score_vector(id_scores, "ID scores")
    right = flag_vector(correct, len(inside), "correct")
    groups = Groups.of(inside, score_vector(ood_scores, "OOD scores"), right)
    return float(METRICS["oscr"](groups.counts())[0])


def threshold_at(id_scores: ArrayLike, accept: float = 0.95) -> float:
    """The least score that accepts a share of the ID images; ``score ≤ threshold`` is accepted.

    Args:
        id_scores: (n,) outlier scores of ID images.
        accept: share in (0, 1).

    Returns:
        One of the scores; ties can make the accepted share larger than asked.

    Raises:
        ShapeError: as `auroc`. ConfigError: a share out of range.
    """
    check_share(accept, "accept", "0.95")
    scores = np.sort(score_vector(id_scores, "ID scores"))
    return float(scores[math.ceil(accept * len(scores) - 1e-9) - 1])


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Outlier scores that one model gave to ID and OOD images."""

    id: ArrayLike
    """(n_i,) of ID images."""
    ood: ArrayLike
    """(n_o,) of OOD images."""
    correct: ArrayLike | None = None
    """(n_i,) whether each ID image is classified correctly; needed for OSCR only."""


@dataclass(frozen=True)
class ThresholdTransfer:
    """What happens when a changed model keeps the original's threshold; shares in [0, 1]."""

    threshold: float
    """Of the original model, in its score's unit."""
    id_rejected_before: float
    """Share of ID images that the original rejects."""
    id_rejected_after: float
    """Share of ID images that the changed model rejects at the same threshold."""
    ood_accepted_before: float
    """Share of OOD images that the original accepts."""
    ood_accepted_after: float
    """Share of OOD images that the changed model accepts at the same threshold."""


def threshold_transfer(
    before: DetectionScores, after: DetectionScores, accept: float = 0.95
) -> ThresholdTransfer:
    """Keep the original model's threshold for a changed model, as a deployment would.

    Args:
        before: scores of the original model; its ID scores set the threshold.
        after: scores of the changed model, by the same kind of score.
        accept: share of ID images that the original accepts.

    Raises:
        ShapeError, ConfigError: as `threshold_at`.
    """
    threshold = threshold_at(before.id, accept)
    above = lambda scores: float((score_vector(scores, "scores") > threshold).mean())  # noqa: E731
    return ThresholdTransfer(
        threshold, above(before.id), above(after.id), 1 - above(before.ood), 1 - above(after.ood)
    )


def _measure(name: str, id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    inside, outside = score_vector(id_scores, "ID scores"), score_vector(ood_scores, "OOD scores")
    groups = Groups.of(inside, outside, None)
    if groups.size == 1:
        text = f"all {len(inside)} ID and {len(outside)} OOD scores are {inside[0]:g}; {name} is chance"
        warnings.warn(text, EqualScoresWarning, stacklevel=3)
    return float(METRICS[name](groups.counts())[0])
