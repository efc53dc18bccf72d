"""What is gained by answering only, or answering cheaply, where a model is sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from .checks import flag_vector, score_vector, share_ties


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """Selective risk at every distinct threshold, in increasing order of uncertainty."""

    threshold: NDArray[np.float64]
    """(G,) answer where ``uncertainty ≤ threshold``."""
    coverage: NDArray[np.float64]
    """(G,) share of images answered, in (0, 1]."""
    risk: NDArray[np.float64]
    """(G,) share of wrong answers among them, in [0, 1]."""


def risk_coverage(uncertainty: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Share of errors against share of images answered; images of one score enter together.

    Args:
        uncertainty: (n,) larger means less sure (an outlier score will do), float32 or float64.
        correct: (n,) booleans.

    Raises:
        ShapeError: no images, lengths that differ, NaN or infinite values.

    Source: Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural Networks".
    """
    scores = score_vector(uncertainty, "uncertainty")
    wrong = ~flag_vector(correct, len(scores), "correct")
    values, place, size = np.unique(scores, return_inverse=True, return_counts=True)
    answered = np.cumsum(size)
    errors = np.cumsum(np.bincount(place, wrong))
    return RiskCoverage(values, answered / len(scores), errors / answered)


def aurc(uncertainty: ArrayLike, correct: ArrayLike) -> float:
    """Area under the risk–coverage curve: the mean risk of the 1, 2, … n surest images.

    Among images of one score the expectation over their random order is taken, exactly.

    Args and Raises: as `risk_coverage`.

    Returns:
        Fraction in [0, 1], lower is better; the error rate when the scores say nothing.

    Source: Geifman et al. 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers".
    """
    scores = score_vector(uncertainty, "uncertainty")
    wrong = ~flag_vector(correct, len(scores), "correct")
    expected = share_ties(wrong.astype(np.float64), scores)[np.argsort(scores, kind="stable")]
    return float((np.cumsum(expected) / np.arange(1, len(scores) + 1)).mean())


@dataclass(frozen=True, eq=False)
class CascadeCurve:
    """Cost and accuracy of a small model that hands its unsure images to a full one.

    In increasing order of threshold: from nothing handed on to everything.
    """

    threshold: NDArray[np.float64]
    """(G + 1,) images with ``confidence < threshold`` are handed on; the last is infinite."""
    handed_on: NDArray[np.float64]
    """(G + 1,) share of images, in [0, 1]."""
    cost: NDArray[np.float64]
    """(G + 1,) mean cost of an image, in the unit of the costs given."""
    accuracy: NDArray[np.float64]
    """(G + 1,) in percent."""


def cascade_curve(
    conf_small: ArrayLike,
    correct_small: ArrayLike,
    correct_full: ArrayLike,
    cost_small: float,
    cost_full: float,
) -> CascadeCurve:
    """Accuracy against cost over all thresholds of a two-model cascade.

    ``cost = cost_small + handed_on · cost_full``: handed-on images are paid for twice.

    Args:
        conf_small: (n,) confidence of the small model; larger is surer.
        correct_small: (n,) whether the small model is right.
        correct_full: (n,) whether the full model is right on the same images.
        cost_small, cost_full: cost of one image, ≥ 0, both in one unit (ms, GFLOPs).

    Returns:
        One point for each distinct confidence, and the one that hands everything on. Choosing a
        threshold on these images and reporting on them is optimistic; use others for one of the two.

    Raises:
        ShapeError: lengths that differ, no images, NaN. ConfigError: a negative cost.
    """
    conf = score_vector(conf_small, "confidence")
    small = flag_vector(correct_small, len(conf), "correct_small")
    full = flag_vector(correct_full, len(conf), "correct_full")
    if cost_small < 0 or cost_full < 0:
        raise ConfigError(
            "costs of at least 0", f"{cost_small} and {cost_full}", "give ms or FLOPs"
        )
    values, place, size = np.unique(conf, return_inverse=True, return_counts=True)
    handed_on = np.append(0, np.cumsum(size)) / len(conf)
    gained = np.append(0, np.cumsum(np.bincount(place, full.astype(float) - small)))
    accuracy = 100 * (small.sum() + gained) / len(conf)
    cost = cost_small + handed_on * cost_full
    return CascadeCurve(np.append(values, np.inf), handed_on, cost, accuracy)


def cascade_threshold(curve: CascadeCurve, least: float) -> float:
    """The cheapest threshold at which a cascade is accurate enough.

    Args:
        curve: of images that nothing is reported on: the choice makes it optimistic there.
        least: accuracy wanted, in percent.

    Returns:
        The threshold; infinite where everything must be handed on.

    Raises:
        ConfigError: no threshold reaches it, not even handing everything on.
    """
    enough = np.flatnonzero(curve.accuracy >= least - 1e-9)
    if not len(enough):
        given = f"at most {curve.accuracy.max():.2f} %"
        why = "ask for the full model's accuracy or less"
        raise ConfigError(f"a cascade that is right for {least:.2f} % of the images", given, why)
    return float(curve.threshold[enough[0]])
