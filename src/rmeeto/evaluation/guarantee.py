"""A bound on lost accuracy that needs no assumption but independent images, and the ratio it allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError, ShapeError
from .checks import check_share, flag_vector

Bound = Literal["clopper_pearson", "hoeffding_bentkus"]


def accuracy_gap_bound(
    correct_full: ArrayLike,
    correct_reduced: ArrayLike,
    delta: float = 0.05,
    bound: Bound = "clopper_pearson",
) -> float:
    """An upper bound on the accuracy lost, which holds with probability ``1 − δ``.

    The gap is ``P(full right) − P(reduced right)`` over the population that the n images are drawn
    from independently. For any such population:

    - "clopper_pearson": ``gap = P(lost) − P(won)``, images that only the full and only the reduced
      model gets right; the exact upper limit of the first at δ/2 minus the exact lower limit of
      the second at δ/2. Tight when the models mostly agree.
    - "hoeffding_bentkus": the Hoeffding–Bentkus limit for a mean of values in [0, 1], applied to
      ``(1 + correct_full − correct_reduced)/2``. Does not use that the models mostly agree.

    Args:
        correct_full: (n,) whether the full model is right.
        correct_reduced: (n,) whether the reduced model is, on the same images.
        delta: δ in (0, 1), the probability of being wrong.
        bound: which of the two, chosen before looking at the data.

    Returns:
        Fraction in [−1, 1]: 0.01 is one percentage point.

    Raises:
        ShapeError: no images or lengths that differ. ConfigError: δ out of range, another bound.

    Source: Clopper & Pearson 1934; Bates et al. 2021, "Distribution-Free, Risk-Controlling
    Prediction Sets" (arXiv 2101.02703), for Hoeffding–Bentkus; differs in: applied to paired
    differences.
    """
    check_share(delta, "delta", "0.05")
    full, reduced = _pair(correct_full, correct_reduced)
    n, lost, won = len(full), int((full & ~reduced).sum()), int((~full & reduced).sum())
    if bound == "clopper_pearson":
        return binomial_upper(lost, n, delta / 2) - (1 - binomial_upper(n - won, n, delta / 2))
    if bound == "hoeffding_bentkus":
        return 2 * _hoeffding_bentkus((n + lost - won) / (2 * n), n, delta) - 1
    given = repr(bound)
    raise ConfigError(
        "bound 'clopper_pearson' or 'hoeffding_bentkus'", given, "the first is tighter"
    )


@dataclass(frozen=True)
class TestedRatio:
    """One keep-ratio of the sequence."""

    ratio: float
    """Share of tokens kept."""
    gap: float
    """Accuracy lost on these images, as a fraction."""
    bound: float
    """Upper bound of it, as a fraction."""
    passed: bool
    """Whether the bound is below ε."""

    __test__ = False  # not a test case, whatever pytest thinks of the name


@dataclass(frozen=True)
class RatioChoice:
    """The cheapest keep-ratio that is shown to lose less than ε, and how it was found."""

    ratio: float | None
    """None when not even the most careful ratio passed."""
    tested: tuple[TestedRatio, ...]
    """From the largest ratio down to the first that failed."""
    epsilon: float
    """Accuracy that may be lost, as a fraction."""
    delta: float
    """Probability with which the choice may lose more."""


def choose_ratio(
    correct_full: ArrayLike,
    correct_by_ratio: Mapping[float, ArrayLike],
    epsilon: float = 0.01,
    delta: float = 0.05,
    bound: Bound = "clopper_pearson",
) -> RatioChoice:
    """The cheapest keep-ratio whose accuracy gap is below ε, wrong with probability at most δ.

    Ratios are tested from the largest down, each at level δ, and testing stops at the first that
    fails: the order is fixed before the data is seen, so the first false pass alone can do harm
    and no correction for many tests is needed.

    Args:
        correct_full: (n,) whether the full model is right; images used for nothing else.
        correct_by_ratio: for each keep-ratio in (0, 1], (n,) whether that model is right on them.
        epsilon: accuracy that may be lost, as a fraction in (0, 1): 0.01 is one point.
        delta: probability of being wrong, in (0, 1).
        bound: see `accuracy_gap_bound`.

    Raises:
        ShapeError: no images, or lengths that differ. ConfigError: no ratios, values out of range.

    Source: Angelopoulos et al. 2021, "Learn then Test" (arXiv 2110.01052), fixed-sequence testing.

    Example:
        >>> right = [True] * 2000
        >>> choose_ratio(right, {0.5: right, 0.25: [True] * 1000 + [False] * 1000}).ratio
        0.5
    """
    check_share(epsilon, "epsilon", "0.01")
    if not correct_by_ratio or not all(0 < ratio <= 1 for ratio in correct_by_ratio):
        given = str(sorted(correct_by_ratio))
        raise ConfigError("keep-ratios in (0, 1]", given, "give one result for each ratio")
    tested: list[TestedRatio] = []
    for ratio in sorted(correct_by_ratio, reverse=True):
        tested.append(_test(ratio, correct_full, correct_by_ratio[ratio], epsilon, delta, bound))
        if not tested[-1].passed:
            break
    passed = [t.ratio for t in tested if t.passed]
    return RatioChoice(min(passed, default=None), tuple(tested), epsilon, delta)


def _test(
    ratio: float, full: ArrayLike, reduced: ArrayLike, epsilon: float, delta: float, bound: Bound
) -> TestedRatio:
    limit = accuracy_gap_bound(full, reduced, delta, bound)
    gap = float(np.asarray(full).mean() - np.asarray(reduced).mean())
    return TestedRatio(ratio, gap, limit, limit < epsilon)


def binomial_upper(k: int, n: int, delta: float) -> float:
    """Clopper–Pearson's upper limit: the p at which ``P(Bin(n, p) ≤ k) = δ``; 1 for k = n."""
    if k >= n:
        return 1.0
    return _bisect(lambda p: binomial_cdf(k, n, p) <= delta, k / n)


def binomial_cdf(k: int, n: int, p: float) -> float:
    """``P(Bin(n, p) ≤ k)`` by summing its terms."""
    if k >= n or p <= 0:
        return 1.0
    if p >= 1 or k < 0:
        return 0.0
    i = np.arange(1, k + 1)
    chosen = np.append(0.0, np.cumsum(np.log((n - i + 1) / i)))  # log binomial coefficients
    i = np.arange(k + 1)
    terms = np.exp(chosen + i * math.log(p) + (n - i) * math.log1p(-p))
    return min(1.0, float(terms.sum()))


def _hoeffding_bentkus(mean: float, n: int, delta: float) -> float:
    """The smallest expectation above ``mean`` that is rejected at level δ."""
    return _bisect(lambda a: _hoeffding_bentkus_p(mean, n, a) <= delta, mean)


def _hoeffding_bentkus_p(mean: float, n: int, alpha: float) -> float:
    divergence = _log_ratio(mean, alpha) + _log_ratio(1 - mean, 1 - alpha) if mean < alpha else 0.0
    bentkus = math.e * binomial_cdf(math.ceil(n * mean - 1e-9), n, alpha)
    return min(math.exp(-n * divergence), bentkus)


def _log_ratio(a: float, b: float) -> float:
    if a <= 0:
        return 0.0
    return a * math.log(a / b) if b > 0 else math.inf


def _bisect(rejected: Callable[[float], bool], low: float) -> float:
    """The least value in [low, 1] that is rejected, when all above it are; the safe end of a step."""
    high = 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rejected(middle) else (middle, high)
    return high


def _pair(full: ArrayLike, reduced: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(full), np.asarray(reduced)
    if a.ndim != 1 or not a.size or a.shape != b.shape:
        why = "give both models' results on the same n ≥ 1 images"
        raise ShapeError("two vectors of booleans", f"{a.shape} and {b.shape}", why)
    return flag_vector(a, len(a), "correct_full"), flag_vector(b, len(b), "correct_reduced")
