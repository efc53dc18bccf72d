"""Losses that ask for uncertain outputs on auxiliary outliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError, unknown_name
from .supervised import at_least_float32


def outlier_exposure(logits_aux: Tensor) -> Tensor:
    """Cross-entropy of the uniform distribution against the outputs on outliers.

    ``L = (1/B) Σ_b [logsumexp(f_b) − mean_k f_bk] = −(1/(B·K)) Σ_b Σ_k log softmax(f_b)_k``, the
    mean over the outliers alone, whatever the number of ID images beside them.

    Args:
        logits_aux: (B, K) of the outliers, any floating type; half precision is computed in fp32.

    Returns:
        scalar in nats, ≥ log K; equal where all logits of an image are equal.

    Raises:
        ShapeError: no outliers, or not two axes.

    Source: Hendrycks et al. 2019, "Deep Anomaly Detection with Outlier Exposure", with
    weight 0.5 in the total.
    """
    logits = at_least_float32(check_rows(logits_aux, "logits of outliers"))
    return (logits.logsumexp(-1) - logits.mean(-1)).mean()


def free_energy(logits: Tensor) -> Tensor:
    """``E = −logsumexp(f)`` of each image, (B, K) → (B,) in nats; lower means more in-distribution.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", the free energy at T = 1.
    """
    return -at_least_float32(check_rows(logits, "logits")).logsumexp(-1)


def energy_hinges(
    logits_id: Tensor, logits_aux: Tensor, margin_in: float, margin_out: float
) -> Tensor:
    """Squared hinges that push ID energies below one margin and outlier energies above another.

    ``L = mean_id max(0, E − m_in)² + mean_aux max(0, m_out − E)²`` with ``E`` of `free_energy`;
    each mean is over its own images.

    Args:
        logits_id: (B, K) of ID images.
        logits_aux: (A, K) of outliers; A may differ from B.
        margin_in: m_in, energy in nats.
        margin_out: m_out, energy in nats, above ``margin_in`` (see `EnergyMargins`).

    Returns:
        scalar ≥ 0 in nats².

    Raises:
        ShapeError: an empty batch, or not two axes.

    Source: Liu et al. 2020, "Energy-based Out-of-distribution Detection", energy-bounded learning,
    with weight 0.1 in the total.
    """
    above = (free_energy(logits_id) - margin_in).clamp(min=0)
    below = (margin_out - free_energy(logits_aux)).clamp(min=0)
    return above.square().mean() + below.square().mean()


@dataclass(frozen=True)
class EnergyMargins:
    """The two margins of `energy_hinges`, in nats.

    They are absolute logit scales: published ones belong to the model they were found on. For any
    other model take them from its own energies (`from_energies`).
    """

    margin_in: float
    """ID energies above this are pushed down."""
    margin_out: float
    """Outlier energies below this are pushed up."""

    def __post_init__(self) -> None:
        if not self.margin_in < self.margin_out:
            raise ConfigError(
                "margin_in below margin_out",
                f"margin_in={self.margin_in:g}, margin_out={self.margin_out:g}",
                "ID images have the lower energies; exchange the two, or set both by hand where "
                "the model does not tell its outliers apart yet",
            )

    @classmethod
    def from_energies(
        cls, energies_id: Tensor, energies_aux: Tensor, quantile: float = 0.25
    ) -> EnergyMargins:
        """Margins that the current model already meets on a share ``quantile`` of either set.

        ``m_in`` is that quantile of the ID energies and ``m_out`` the ``1 − quantile`` quantile of
        the outliers' energies, so the hinges act on the other images, at this model's own scale.

        Args:
            energies_id: (n,) `free_energy` of ID images.
            energies_aux: (m,) the same of outliers.
            quantile: share in (0, 0.5]; smaller pushes more images, and further.

        Raises:
            ConfigError: a quantile out of range, or energies so far the wrong way round that
                the margins cross.

        Source: ours; the paper picks margins by hand for each model.
        """
        if not 0 < quantile <= 0.5:
            raise ConfigError("a quantile in (0, 0.5]", str(quantile), "0.25 is the default")
        low = torch.quantile(energies_id.detach().double(), quantile)
        high = torch.quantile(energies_aux.detach().double(), 1 - quantile)
        return cls(float(low), float(high))


ENERGY_MARGINS = {
    "wrn40_2_cifar10": EnergyMargins(-23.0, -5.0),
    "wrn40_2_cifar100": EnergyMargins(-27.0, -5.0),
    "energy_ood": EnergyMargins(-25.0, -7.0),
}
"""Margins of the reference repository (WideResNet-40-2 on CIFAR; the last is its general default)."""


def energy_margins(name: str) -> EnergyMargins:
    """Reference margins by name; raises `UnknownNameError` with the nearest names."""
    if name not in ENERGY_MARGINS:
        raise unknown_name("set of energy margins", name, ENERGY_MARGINS)
    return ENERGY_MARGINS[name]


def check_rows(values: Tensor, what: str) -> Tensor:
    """``values`` itself when it is a batch of vectors with at least one row."""
    if values.ndim != 2 or not values.numel():
        raise ShapeError(
            f"{what}: (B, …) with B ≥ 1",
            f"shape {tuple(values.shape)}",
            "one row for each image; leave the term out where there are no images for it",
        )
    return values
