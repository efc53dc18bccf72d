"""Losses against the labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of hard or soft targets, with label smoothing.

    ``L = −(1/B) Σ_b Σ_k ((1−s)·t_bk + s/K) · log softmax(logits_b)_k``. Smoothing is linear in
    the target, so smoothing a mixture of two labels here equals mixing two smoothed labels.

    Args:
        logits: (B, K), any floating type; bf16 and fp16 are computed in fp32.
        targets: (B,) int64 labels, or (B, K) probabilities (mixup, cutmix).
        smoothing: share ``s`` of the target spread evenly over the classes, in [0, 1).
        class_weights: (K,) what an image counts by its class, or by its mixture of classes before
            smoothing; None = 1. The sum is divided by B, not by the weights, so that micro-batches add up.

    Returns:
        scalar in nats, the mean over the batch.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """
    logits = at_least_float32(logits)
    if targets.is_floating_point():
        targets = targets.to(logits.dtype)
    if class_weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    each = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    weights = class_weights.to(each)
    return (each * (targets @ weights if targets.is_floating_point() else weights[targets])).mean()


def at_least_float32(logits: Tensor) -> Tensor:
    """``logits`` in fp32, or as they are in fp64: a half-precision softmax is too coarse."""
    return logits if logits.element_size() >= 4 else logits.float()
