"""What outputs must hold before a score reads them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rmeeto.errors import ScoreError, ShapeError

from .outputs import Head, Outputs

if TYPE_CHECKING:
    from .base import Score

NEGATIVE_SHARE = 0.1


class NegativeFeaturesWarning(UserWarning):
    """A score that assumes non-negative features was given many negative ones."""


def check_outputs(score: Score, outputs: Outputs, head: Head | None) -> None:
    """Raise `ScoreError` or `ShapeError` unless ``score`` can read ``outputs``."""
    if score.gradient and outputs.perturbed is None:
        reason = (
            "make the outputs with score.outputs(forward, images), which takes the input gradient"
        )
        raise ScoreError(f"the score {score.name}", "outputs without perturbed ones", reason)
    for part, given in (("outputs", outputs), ("perturbed outputs", outputs.perturbed)):
        if given is None:
            continue
        refuse_non_finite(score.name, f"logits of {part}", given.logits)
        if score.needs != "logits":
            features = checked_features(score, given, head)
            refuse_non_finite(score.name, f"features of {part}", features)


def checked_features(score: Score, outputs: Outputs, head: Head | None) -> Tensor:
    """The features of ``outputs``, which must be there and fit the head."""
    if outputs.features is None:
        reason = "give the input of the last linear layer, or choose a score of logits alone"
        raise ScoreError(f"the score {score.name}", "outputs without features", reason)
    given = (outputs.logits.shape[1], outputs.features.shape[1])
    if head is not None and given != tuple(head.weight.shape):
        asked = f"outputs (K, d) of a head with weight {tuple(head.weight.shape)}"
        raise ShapeError(asked, f"K, d = {given}", "take outputs and head from the same model")
    return outputs.features


def shape_of(score: Score, outputs: Outputs) -> Tensor:
    """(2,) int64 K and d of what ``score`` reads; d is 0 for scores of logits alone."""
    reads_features = score.needs != "logits" and outputs.features is not None
    d = outputs.features.shape[1] if reads_features else 0  # type: ignore[union-attr]
    return torch.tensor([outputs.logits.shape[1], d])


def check_shape(score: Score, outputs: Outputs, fitted: Tensor) -> None:
    """Raise `ShapeError` unless ``outputs`` have the K and d that ``score`` was fitted to."""
    given = shape_of(score, outputs).tolist()
    if given != fitted.tolist():
        asked = f"the score {score.name} fitted to K, d = {fitted.tolist()}"
        raise ShapeError(asked, f"outputs of K, d = {given}", "fit it again for this model")


def check_head(score: Score, head: Head | None) -> None:
    """Raise `ScoreError` if ``score`` needs a head and there is none or it is not finite."""
    if score.needs != "head":
        return
    if head is None:
        reason = "give Head(weight, bias) of the last linear layer"
        raise ScoreError(f"the score {score.name}", "no head", reason)
    refuse_non_finite(score.name, "weights of the head", head.weight)
    refuse_non_finite(score.name, "biases of the head", head.bias)


def check_labels(score: Score, train: Outputs) -> None:
    """Raise `ScoreError` unless every image to fit ``score`` on has a label in 0 … K−1."""
    if train.labels is None:
        reason = "give Outputs(logits, features, labels)"
        raise ScoreError(f"to fit the score {score.name}", "outputs without labels", reason)
    K = train.logits.shape[1]
    outside = int(((train.labels < 0) | (train.labels >= K)).sum())
    if outside:
        reason = f"labels are 0 … {K - 1}; leave other images out"
        raise ScoreError(f"to fit the score {score.name}", f"{outside} labels outside", reason)


def refuse_non_finite(name: str, part: str, values: Tensor) -> None:
    """Raise `ScoreError` that tells how many rows of (n, …) ``values`` hold a NaN or infinity."""
    if bool(values.isfinite().all()):
        return
    bad = int((~values.isfinite()).reshape(len(values), -1).any(1).sum())
    given = f"{part} that are not finite in {bad} of {len(values)} rows"
    reason = (
        "a ranking of them means nothing; look at those images and at the precision of the model"
    )
    raise ScoreError(f"the score {name}", given, reason)


def warn_if_negative(score: Score, outputs: Outputs, stacklevel: int) -> None:
    """Warn if ``score`` assumes non-negative features and over a tenth of them are negative."""
    if not score.nonnegative or outputs.features is None or outputs.features.numel() == 0:
        return
    share = float((outputs.features < 0).double().mean())
    if share > NEGATIVE_SHARE:
        text = (
            f"the score {score.name} assumes features after a ReLU, but {share:.0%} of them are "
            "negative (no ReLU before the head?); prefer msp, gen, relative_mahalanobis, knn or vim"
        )
        warnings.warn(text, NegativeFeaturesWarning, stacklevel=stacklevel + 1)
