"""Cross-entropy on logits of one length, which needs no outliers."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError
from .supervised import at_least_float32, cross_entropy


def logit_norm(
    logits: Tensor, targets: Tensor, temperature: float = 0.04, smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Cross-entropy of ``f / (τ‖f‖)``: confidence can no longer grow with the length of f.

    Args:
        logits: (B, K), any floating type; half precision is computed in fp32.
        targets: (B,) int64 labels or (B, K) probabilities.
        temperature: τ > 0; the logits that enter the softmax have length 1/τ.
        smoothing: label smoothing, in [0, 1).
        class_weights: (K,) as in `cross_entropy`.

    Returns:
        scalar in nats, the mean over the batch.

    Raises:
        ConfigError: τ not above 0.

    Source: Wei et al. 2022, "Mitigating Neural Network Overconfidence with Logit Normalization"
    (arXiv 2205.09310); τ = 0.04 as in OpenOOD.
    """
    if not temperature > 0:
        raise ConfigError("a temperature above 0", str(temperature), "0.04 is the usual one")
    unit = functional.normalize(at_least_float32(logits), dim=-1, eps=1e-7)
    return cross_entropy(unit / temperature, targets, smoothing, class_weights)


def label_loss(
    logits: Tensor, targets: Tensor, smoothing: float, class_weights: Tensor | None,
    logit_norm_temperature: float | None,
) -> tuple[str, Tensor]:  # fmt: skip
    """Name and value of the loss against the labels: "logit_norm" at that τ, or for None "cross_entropy"."""
    if logit_norm_temperature is None:
        return "cross_entropy", cross_entropy(logits, targets, smoothing, class_weights)
    value = logit_norm(logits, targets, logit_norm_temperature, smoothing, class_weights)
    return "logit_norm", value
