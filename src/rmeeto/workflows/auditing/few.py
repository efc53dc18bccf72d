"""What too few images make of an audit's figures, said and not left to be found out."""

from __future__ import annotations

from ...data import ImageSource
from ...scores import Outputs, Score
from ...scores.mahalanobis import GaussianScore

_SET = 50
"""Images below which the 95 % threshold rests on two or three of them."""


def few_images(source: ImageSource, title: str) -> list[str]:
    """A warning for a set that is too small for thresholds and intervals."""
    if len(source) >= _SET:
        return []
    return [
        f"{title}: only {len(source)} images; thresholds at 95 % rest on two or three of them, and "
        "intervals are too narrow"
    ]


def thin_statistics(score: Score, train: Outputs) -> list[str]:
    """A warning for a covariance within classes that has fewer images behind it than directions."""
    if not isinstance(score, GaussianScore) or score.shrinkage > 0 or train.features is None:
        return []
    assert train.labels is not None
    free, width = len(train) - len(train.labels.unique()), train.features.shape[1]
    if free >= width:
        return []
    return [
        f"{score.name} was fitted on {len(train)} images, too few for features of {width} channels: directions in "
        "which they do not vary do not count; take more with --fit-images, if there are more"
    ]
