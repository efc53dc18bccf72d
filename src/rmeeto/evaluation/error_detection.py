"""How well a score finds a model's own errors among ID images, with bootstrap draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_draws, flag_vector, score_vector
from .estimates import Estimate
from .ranking import METRICS, Counts, Groups

_CELLS = 400_000


def error_detection(
    uncertainty: ArrayLike, correct: ArrayLike, seed: int = 0, n: int = 1000
) -> Estimate:
    """AUROC of wrong against right answers: ``P(s_wrong > s_right) + ½ P(equal)``.

    Args:
        uncertainty: (n_i,) scores of ID images, larger = less sure, float32 or float64.
        correct: (n_i,) whether each is classified correctly.
        seed: of the resampling of images; two models' estimates of one seed pair up.
        n: number of resamples.

    Returns:
        Fraction in [0, 1]; NaN in draws (and as the value) without a wrong or a right answer.

    Raises:
        ShapeError: as `auroc`, or ``correct`` of another length. ConfigError: n < 1.

    Source: Hendrycks & Gimpel 2017, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples", section 3.
    """
    check_draws(n)
    scores = score_vector(uncertainty, "uncertainty")
    right = flag_vector(correct, len(scores), "correct")
    _, places = np.unique(scores, return_inverse=True)
    groups = Groups(int(places.max()) + 1, places, places[:0], right)
    rng, images = np.random.default_rng(seed), len(scores)
    step = max(1, _CELLS // images)
    draws = [
        _area(groups, rng.integers(0, images, (min(step, n - start), images)))
        for start in range(0, n, step)
    ]
    return Estimate(float(_area(groups, np.arange(images)[None])[0]), np.concatenate(draws))


def _area(groups: Groups, picks: np.ndarray) -> np.ndarray:
    found = groups.counts(picks, np.zeros((len(picks), 0), np.int64))
    with np.errstate(invalid="ignore"):
        return METRICS["auroc"](Counts(found.right, found.id - found.right, found.right))
