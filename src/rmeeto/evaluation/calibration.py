"""Whether probabilities mean what they say: calibration errors, proper scores, temperature.

Everything takes logits and computes its softmax in float64. All results are fractions or nats.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from .checks import logits_and_labels, share_ties
from .metrics import correct

_COLDEST, _HOTTEST = 1e-2, 1e2


class TemperatureBoundWarning(UserWarning):
    """The best temperature lies beyond what is searched."""


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities (n, K) of float64 logits, without overflow."""
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def nll(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood of the labels, ``−(1/n) Σ log softmax(f)_y``.

    Args:
        logits: (n, K), any float type.
        labels: (n,) whole numbers in [0, K).

    Returns:
        Nats, ≥ 0.

    Raises:
        ShapeError: shapes that don't fit, labels out of range, NaN or infinite logits.
    """
    return float(image_nll(logits, labels).mean())


def image_nll(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """(n,) negative log-likelihood of each image's label in nats (args and errors as `nll`)."""
    f, y = logits_and_labels(logits, labels)
    return -log_softmax(f)[np.arange(len(y)), y]


def brier(logits: ArrayLike, labels: ArrayLike) -> float:
    """Mean squared distance of probabilities and one-hot label, ``(1/n) Σ Σ_k (p_k − 1[k = y])²``.

    Args and Raises: as `nll`.

    Returns:
        From 0 to 2: summed over classes, not averaged.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    return float(image_brier(logits, labels).mean())


def image_brier(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """(n,) squared distance of each image's probabilities and one-hot label (as `brier`)."""
    f, y = logits_and_labels(logits, labels)
    p = np.exp(log_softmax(f))
    p[np.arange(len(y)), y] -= 1
    return (p * p).sum(1)


def ece(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error of the top class over bins of equal width.

    ``Σ_b |B_b|/n · |accuracy(B_b) − confidence(B_b)|`` with bins ``((b − 1)/m, b/m]``.

    Args:
        logits, labels: as `nll`.
        bins: m ≥ 1.

    Returns:
        Fraction in [0, 1]. Biased upwards for few images.

    Raises:
        ShapeError: as `nll`. ConfigError: no bins.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    return ece_of(*top_class(logits, labels), bins)


def ece_of(confidence: NDArray[np.float64], right: NDArray[np.float64], bins: int = 15) -> float:
    """`ece` from each image's confidence in (0, 1] and whether it is right (1.0 or 0.0), (n,) each."""
    _check_bins(bins)
    place = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    return float(np.abs(np.bincount(place, right - confidence)).sum() / len(right))


def adaptive_ece(logits: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Calibration error over bins that hold equally many images (otherwise as `ece`).

    Images of equal confidence share their mean correctness, so the order of images plays no part
    where a bin ends among them.

    Source: Nixon et al. 2019, "Measuring Calibration in Deep Learning"; differs in: top class only.
    """
    return adaptive_ece_of(*top_class(logits, labels), bins)


def adaptive_ece_of(
    confidence: NDArray[np.float64], right: NDArray[np.float64], bins: int = 15
) -> float:
    """`adaptive_ece` from what `ece_of` takes."""
    _check_bins(bins)
    gap = share_ties(right, confidence) - confidence
    parts = np.array_split(gap[np.argsort(confidence, kind="stable")], bins)
    return float(sum(abs(part.sum()) for part in parts) / len(right))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T whose ``softmax(f/T)`` has the least `nll` on these images.

    Newton's method on β = 1/T, in which the NLL is convex, kept inside a shrinking bracket.

    Args:
        logits, labels: as `nll`; images that no result is reported on.

    Returns:
        T from 0.01 to 100; at an end with a `TemperatureBoundWarning` (every answer right, or
        logits that say nothing).

    Raises:
        ShapeError: as `nll`.

    Source: Guo et al. 2017, section 4.2.
    """
    f, y = logits_and_labels(logits, labels)
    f = f - f.max(1, keepdims=True)  # no overflow at any β, and small numbers where it matters
    low, high, beta = 1 / _HOTTEST, 1 / _COLDEST, 1.0
    if _slope(f, y, high)[0] <= 0 or _slope(f, y, low)[0] >= 0:
        beta = low if _slope(f, y, low)[0] >= 0 else high
        text = (
            f"the best temperature is not between {_COLDEST:g} and {_HOTTEST:g}; took {1 / beta:g}"
        )
        warnings.warn(text, TemperatureBoundWarning, stacklevel=2)
        return 1 / beta
    for _ in range(100):
        slope, curvature = _slope(f, y, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curvature if curvature > 0 else low
        new = step if low < step < high else (low * high) ** 0.5
        if abs(new - beta) <= 1e-10 * beta:
            break
        beta = new
    return 1 / beta


def _slope(f: NDArray, y: NDArray, beta: float) -> tuple[float, float]:
    """First and second derivative of the mean NLL of ``softmax(βf)`` in β, for f ≤ 0."""
    p = np.exp(beta * f)
    p /= p.sum(1, keepdims=True)
    mean = np.einsum("nk,nk->n", p, f)
    square = np.einsum("nk,nk,nk->n", p, f, f)
    return float((mean - f[np.arange(len(y)), y]).mean()), float((square - mean**2).mean())


def top_class(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray, NDArray]:
    """Confidence of the top class, and 1.0 where it is the label (ties go to the lower class)."""
    f, y = logits_and_labels(logits, labels)
    return np.exp(log_softmax(f).max(1)), correct(f, y).astype(np.float64)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise ConfigError("one bin or more", str(bins), "15 is the usual number")
