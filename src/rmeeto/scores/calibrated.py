"""Scores that read the logits alone and learn from in-distribution logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Score
from .common import SCORES, labels_of
from .fitted import Statistics
from .logits import max_softmax
from .outputs import Head, Outputs

COLDEST, HOTTEST = 0.01, 100.0


@SCORES.register("temperature_scaled")
@dataclass(frozen=True)
class TemperatureScaled(Score):
    """``−max_k softmax(f/T)_k`` with the T that minimises the NLL of the labels.

    Fit it on validation images: on images that were learned by heart the best T is too cold.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2; differs in:
    T is found by bisection (the NLL is convex in 1/T), within 0.01 … 100.
    """

    name: ClassVar[str] = "temperature_scaled"
    fitted: ClassVar[bool] = True
    labelled: ClassVar[bool] = True
    held_out: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        return {"temperature": best_temperature(train.logits, labels_of(train))}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return -max_softmax(outputs.logits.double() / statistics["temperature"])


def best_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """The T in 0.01 … 100 that minimises the mean NLL of (n,) labels under softmax(logits/T).

    With β = 1/T the NLL is convex and its slope is ``mean_n (Σ_k p_k f_k − f_label)``.

    Returns:
        scalar fp64.
    """
    logits = logits.double()
    target = logits.gather(1, labels[:, None])[:, 0]
    low, high = logits.new_tensor(1 / HOTTEST).log(), logits.new_tensor(1 / COLDEST).log()
    for _ in range(60):
        middle = (low + high) / 2
        expected = ((middle.exp() * logits).softmax(1) * logits).sum(1)
        too_cold = (expected - target).mean() > 0
        low, high = torch.where(too_cold, low, middle), torch.where(too_cold, middle, high)
    return torch.exp(-(low + high) / 2)


@SCORES.register("kl_matching")
@dataclass(frozen=True)
class KLMatching(Score):
    """``min_c KL(p ‖ d_c)``, p = softmax(f), d_c the mean p of images predicted as c; nats, ≥ 0.

    Classes that no image was predicted as have no d_c.

    Source: Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection for Real-World
    Settings" (KL matching); differs in: all logarithms are taken of logits, so that no
    probability is clamped.
    """

    name: ClassVar[str] = "kl_matching"
    fitted: ClassVar[bool] = True
    held_out: ClassVar[bool] = True

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        log_p, predicted = train.logits.double().log_softmax(1), train.predicted
        templates = []
        for c in predicted.unique().tolist():
            rows = log_p[predicted == c]
            templates.append(rows.logsumexp(0) - rows.new_tensor(len(rows)).log())
        return {"log_templates": torch.stack(templates)}

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        log_p = outputs.logits.double().log_softmax(1)
        p = log_p.exp()
        own = (p * log_p).sum(1)
        return own - (p @ statistics["log_templates"].T).amax(1)
