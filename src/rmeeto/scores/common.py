"""The registry of scores, their way to and from saved settings, and sums that several share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rmeeto.errors import ScoreError
from rmeeto.registry import Registry

from .base import Score
from .fitted import Fitted
from .outputs import Head, Outputs

SCORES: Registry[type[Score]] = Registry("score", "rmeeto.scores", ("rmeeto.scores",))
PREFIX = "statistics."


def restore(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Fitted:
    """Rebuild what `Fitted.state` and `Fitted.metadata` took apart.

    Raises:
        ScoreError: a part is missing.
        UnknownNameError: if no score has that name.
        ConfigError: if a setting is unknown or out of range.
    """
    try:
        settings, fingerprint = json.loads(metadata["score"]), metadata["fingerprint"]
    except (KeyError, ValueError) as e:
        reason = "save both state() and metadata() of the fitted score"
        raise ScoreError("a fitted score from its parts", f"metadata without {e}", reason) from e
    score, head = score_from_dict(settings), None
    if score.needs == "head":
        if not {"head.weight", "head.bias"} <= set(state):
            reason = "save all of state(), the head too"
            raise ScoreError(f"the fitted score {score.name}", "no head among its tensors", reason)
        head = Head(state["head.weight"], state["head.bias"])
    statistics = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    return Fitted(score, statistics, head, fingerprint)


def score_from_dict(values: dict[str, Any]) -> Score:
    """Build a score from ``{"name": …, settings}``.

    Raises:
        UnknownNameError: if no score has that name.
        ConfigError: if there is no name, or a setting is unknown or out of range.
    """
    return SCORES.build(values)


def features_of(outputs: Outputs) -> Tensor:
    """(n, d) features, which `Score` has checked to be there."""
    assert outputs.features is not None
    return outputs.features


def labels_of(outputs: Outputs) -> Tensor:
    """(n,) labels, which `Score` has checked to be there."""
    assert outputs.labels is not None
    return outputs.labels


def energy(logits: Tensor) -> Tensor:
    """(n,) ``−log Σ_k exp f_k`` of (n, K) logits: the free energy at temperature 1."""
    return -logits.logsumexp(1)


def percentile_of(values: Tensor, percent: float) -> Tensor:
    """The ``percent`` (0 … 100) percentile of all values, linear between neighbours in rank.

    Same as `torch.quantile`, which refuses more than 16 million values.
    """
    flat = values.flatten()
    place = percent / 100 * (len(flat) - 1)
    low, share = int(place), place - int(place)
    lower = flat.kthvalue(low + 1).values
    upper = flat.kthvalue(min(low + 2, len(flat))).values
    return torch.lerp(lower, upper, share)


def class_means(values: Tensor, classes: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """(K, d) mean of the rows of each class (0 where there is none) and (K,) their numbers."""
    count = torch.bincount(classes, minlength=K)
    total = values.new_zeros(K, values.shape[1]).index_add_(0, classes, values)
    return total / count.clamp_min(1)[:, None], count
