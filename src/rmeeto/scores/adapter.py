"""Detectors of other packages as scores, without importing them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from rmeeto.errors import ConfigError, ScoreError

from .base import Needs, Score
from .checks import check_labels, check_outputs
from .common import features_of
from .fitted import Fitted, Statistics
from .outputs import Head, Outputs


@dataclass(frozen=True)
class DetectorScore(Score):
    """A detector object that scores logits; its statistics stay inside it."""

    name: ClassVar[str] = "detector"

    detector: Any
    """has ``predict_logits(logits)`` → (n,), and ``fit_logits(logits, labels)`` if it is fitted"""
    sign: int = 1
    """1 if its larger values mean more out-of-distribution, −1 if they mean less"""

    def __post_init__(self) -> None:
        self._require(self.sign in (1, -1), "sign", "use 1 or -1")

    def fit(
        self, train: Outputs | None = None, head: Head | None = None, fingerprint: str = ""
    ) -> Fitted:
        """Let the detector fit itself, in place, if it can and there are labelled outputs."""
        method = getattr(self.detector, f"fit_{self.needs}", None)
        if train is not None and method is not None:
            check_outputs(self, train, None)
            check_labels(self, train)
            with contextlib.suppress(NotImplementedError):
                method(self._read(train.detach()), train.labels)
        return Fitted(self, {}, None, fingerprint)

    def settings(self) -> dict[str, Any]:
        given = type(self.detector).__name__
        raise ScoreError(
            "a score's settings", given, "the detector keeps them; save it by its own means"
        )

    def _read(self, outputs: Outputs) -> Tensor:
        return outputs.logits

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        values = getattr(self.detector, f"predict_{self.needs}")(self._read(outputs))
        return self.sign * torch.as_tensor(values)


@dataclass(frozen=True)
class FeatureDetectorScore(DetectorScore):
    """A detector object that scores features; see `DetectorScore`."""

    needs: ClassVar[Needs] = "features"

    def _read(self, outputs: Outputs) -> Tensor:
        return features_of(outputs)


def from_detector(detector: Any, larger_is_outlier: bool = True) -> DetectorScore:
    """A detector of another package, such as pytorch-ood, as a score.

    pytorch-ood's detectors return outlier scores (larger = more out-of-distribution), as ours do.

    Args:
        detector: object with ``predict_logits`` or ``predict_features``, which take a tensor
            (n, ·); and perhaps ``fit_logits`` or ``fit_features`` (values, labels).
        larger_is_outlier: whether its larger values mean more out-of-distribution.

    Raises:
        ConfigError: it has neither method.
    """
    sign = 1 if larger_is_outlier else -1
    if callable(getattr(detector, "predict_features", None)):
        return FeatureDetectorScore(detector, sign)
    if callable(getattr(detector, "predict_logits", None)):
        return DetectorScore(detector, sign)
    reason = "give an object with predict_logits or predict_features; others need the model itself"
    raise ConfigError("a detector as a score", f"a {type(detector).__name__}", reason)
