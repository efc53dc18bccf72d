"""What a score reads: the outputs of one forward pass, and the last linear layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rmeeto.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a classifier for n images; fp16 and bf16 are cast to fp32 on the way in.

    A half-precision softmax has a few hundred distinct values; cast before it, the same logits
    rank as in fp32.

    Raises:
        ShapeError: the parts do not belong to the same n images.
    """

    logits: Tensor
    """(n, K) before any softmax"""
    features: Tensor | None = None
    """(n, d) input of the last linear layer"""
    labels: Tensor | None = None
    """(n,) int64 class of each image, 0 … K−1"""
    perturbed: Outputs | None = None
    """outputs of the same images after a step along the input gradient, for `GradientScore`"""
    layers: tuple[Tensor, ...] = ()
    """(n, d_l) features of earlier layers, first to last, for scores that are `Score.layered`"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "logits", at_least_float32(self.logits))
        if self.features is not None:
            object.__setattr__(self, "features", at_least_float32(self.features))
        object.__setattr__(self, "layers", tuple(map(at_least_float32, self.layers)))
        n = self.logits.shape[0] if self.logits.ndim == 2 else -1
        two = self.logits.ndim == 2 and self.logits.shape[1] > 1
        _require_shape(two, "logits (n, K) with K > 1", self.logits)
        if self.features is not None:
            good = self.features.ndim == 2 and self.features.shape[0] == n
            _require_shape(good, f"features ({n}, d)", self.features)
        if self.labels is not None:
            good = self.labels.shape == (n,) and not self.labels.is_floating_point()
            _require_shape(good, f"integer labels ({n},)", self.labels)
        for layer in self.layers:
            good = layer.ndim == 2 and layer.shape[0] == n
            _require_shape(good, f"features of a layer ({n}, d)", layer)
        if self.perturbed is not None:
            good = self.perturbed.logits.shape == self.logits.shape
            _require_shape(
                good, f"perturbed logits {tuple(self.logits.shape)}", self.perturbed.logits
            )

    def __len__(self) -> int:
        return self.logits.shape[0]

    def map(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """``change`` applied to every tensor."""
        return Outputs(
            change(self.logits),
            None if self.features is None else change(self.features),
            None if self.labels is None else change(self.labels),
            None if self.perturbed is None else self.perturbed.map(change),
            tuple(map(change, self.layers)),
        )

    def rows(self, start: int, stop: int) -> Outputs:
        """The images ``start`` … ``stop − 1``."""
        return self.map(lambda part: part[start:stop])

    def chunks(self, size: int) -> Iterator[Outputs]:
        """The images in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.rows(start, start + size)

    def detach(self) -> Outputs:
        """The same values without gradient history."""
        return self.map(Tensor.detach)

    @property
    def predicted(self) -> Tensor:
        """(n,) index of the largest logit."""
        return self.logits.argmax(1)


@dataclass(frozen=True, eq=False)
class Head:
    """The last linear layer, ``logits = features · weightᵀ + bias``.

    Raises:
        ShapeError: weight and bias do not belong together.
    """

    weight: Tensor
    """(K, d), row k is the direction of class k"""
    bias: Tensor
    """(K,)"""

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            object.__setattr__(self, name, at_least_float32(getattr(self, name)).detach())
        _require_shape(self.weight.ndim == 2, "a head's weight (K, d)", self.weight)
        K = self.weight.shape[0]
        _require_shape(self.bias.shape == (K,), f"a head's bias ({K},)", self.bias)

    def __call__(self, features: Tensor) -> Tensor:
        """(n, K) logits of (n, d) features, in the features' type."""
        return features @ self.weight.to(features).T + self.bias.to(features)


def at_least_float32(values: Tensor) -> Tensor:
    """``values`` in fp32, or as they are in fp64."""
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _require_shape(holds: bool, asked: str, given: Tensor) -> None:
    if not holds:
        reason = "one row an image, all parts from the same forward pass"
        raise ShapeError(asked, f"{given.dtype} of shape {tuple(given.shape)}", reason)
