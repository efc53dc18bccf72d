"""Scores that look at the outputs of slightly changed images; the change follows a gradient.

``score.outputs(forward, images)`` makes what they read: two forward passes and one backward pass.
``forward`` maps images to `Outputs` and must let gradients through to the images. A model that
merges or prunes tokens chooses anew for the changed image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from rmeeto.errors import ScoreError, ShapeError

from .base import Needs, Score
from .common import SCORES, energy, features_of
from .fitted import Statistics
from .logits import max_softmax
from .outputs import Head, Outputs

Forward = Callable[[Tensor], Outputs]


@dataclass(frozen=True)
class GradientScore(Score):
    """What gradient scores share: how their outputs are made."""

    gradient: ClassVar[bool] = True

    def outputs(self, forward: Forward, images: Tensor, labels: Tensor | None = None) -> Outputs:
        """Outputs of ``images`` with those of the changed images as `Outputs.perturbed`.

        Args:
            forward: images → outputs, differentiable, without dropout; each image for itself.
            images: (n, channels, height, width), normalised as the model wants them.
            labels: (n,) int64, passed on.

        Raises:
            ScoreError: no gradient reaches the images.
        """
        with torch.enable_grad():
            changeable = images.detach().clone().requires_grad_()
            clean = forward(changeable)
            gradient = self._gradient(clean, changeable)
        with torch.no_grad():
            perturbed = forward(self.step(images, gradient)).detach()
        return replace(clean.detach(), labels=labels, perturbed=perturbed)

    def objective(self, outputs: Outputs) -> Tensor:
        """Scalar sum over images of what the step follows."""
        raise NotImplementedError

    def step(self, images: Tensor, gradient: Tensor) -> Tensor:
        """The changed images; both (n, channels, height, width)."""
        raise NotImplementedError

    def _gradient(self, outputs: Outputs, images: Tensor) -> Tensor:
        value = self.objective(outputs)
        reason = (
            "let forward run without no_grad or detach, and with kernels that have a backward pass"
        )
        asked, given = f"the input gradient for {self.name}", "outputs without gradient history"
        if not value.requires_grad:
            raise ScoreError(asked, given, reason)
        (gradient,) = torch.autograd.grad(value, images, allow_unused=True)
        if gradient is None:
            raise ScoreError(asked, given, reason)
        return gradient


@SCORES.register("odin")
@dataclass(frozen=True)
class Odin(GradientScore):
    """``−max_k softmax(f(x')/T)_k`` with ``x' = x − ε · sign(∇_x CE(f(x)/T, argmax f)) / std``.

    Source: Liang et al. 2018, "Enhancing The Reliability of Out-of-distribution Image Detection
    in Neural Networks", equations 1 and 2; differs in: ε is fixed, not chosen on outliers.
    """

    name: ClassVar[str] = "odin"

    temperature: float = 1000.0
    """T > 0"""
    epsilon: float = 0.0014
    """ε ≥ 0, in units of images in [0, 1]"""
    std: tuple[float, ...] = ()
    """what each channel was divided by when the images were normalised; () = 1"""

    def __post_init__(self) -> None:
        self._require(self.temperature > 0, "temperature", "use more than 0")
        self._require(self.epsilon >= 0, "epsilon", "use 0 or more")
        self._require(all(s > 0 for s in self.std), "std", "use numbers above 0")

    def objective(self, outputs: Outputs) -> Tensor:
        scaled = outputs.logits / self.temperature
        return (scaled.logsumexp(1) - scaled.amax(1)).sum()

    def step(self, images: Tensor, gradient: Tensor) -> Tensor:
        std = images.new_tensor(self.std or (1.0,)).view(-1, 1, 1)
        if len(self.std) not in (0, 1, images.shape[-3]):
            given = f"std of {len(self.std)} channels"
            raise ShapeError(f"images {tuple(images.shape)}", given, "give one std a channel")
        return images - self.epsilon * gradient.sign() / std

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        assert outputs.perturbed is not None
        return -max_softmax(outputs.perturbed.logits.double() / self.temperature)


@dataclass(frozen=True)
class AdaScale(GradientScore):
    """What both forms share: how strongly an image is scaled depends on how its features shift.

    With a and a' the features of the image and the changed image (ε · sign of the gradient of the
    predicted class's logit, added to the o % of its values with the smallest gradient):
    ``Q' = λ Σ_{top k₁ % of a} |a' − a| + Σ_{top k₂ % of a} relu(a')``,
    ``p = p_min + (1 − F(Q')) (p_max − p_min)``, F the empirical distribution of Q' on in-distribution
    images, ``r = Σ relu(a) / Σ of the largest (100 − p) % of relu(a)``.

    Source: Regmi 2025, "AdaSCALE: Adaptive Scaling for OOD Detection" (arXiv 2503.08023);
    differs in: p_max is a fixed 85 instead of being chosen for each network, and fit
    and test use the same Q' (they do not in a later version of the published code). "Top" is by a
    in both sums. F is a step function: scores jump where Q' passes that of a fitted image.
    """

    needs: ClassVar[Needs] = "head"
    fitted: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    epsilon: float = 0.5
    """ε ≥ 0, in units of normalised images"""
    changed: float = 5.0
    """o in (0, 100], % of an image's values that are changed"""
    weight: float = 10.0
    """λ ≥ 0"""
    shifted: float = 1.0
    """k₁ in (0, 100], % of activations whose shift counts"""
    corrected: float = 5.0
    """k₂ in (0, 100], % of activations in the correction term"""
    p_min: float = 60.0
    """percentile for the least in-distribution images"""
    p_max: float = 85.0
    """percentile for the most in-distribution images, below 100"""
    images: int = 5000
    """most in-distribution images that F is made of"""

    def __post_init__(self) -> None:
        self._require(self.epsilon >= 0, "epsilon", "use 0 or more")
        for name in ("changed", "shifted", "corrected"):
            self._require(0 < getattr(self, name) <= 100, name, "use more than 0, up to 100")
        self._require(self.weight >= 0, "weight", "use 0 or more")
        self._require(0 <= self.p_min <= self.p_max < 100, "p_min", "use 0 ≤ p_min ≤ p_max < 100")
        self._require(self.images >= 1, "images", "use 1 or more")

    def objective(self, outputs: Outputs) -> Tensor:
        return outputs.logits.amax(1).sum()

    def step(self, images: Tensor, gradient: Tensor) -> Tensor:
        flat = gradient.flatten(1)
        least = flat.abs().topk(share(self.changed, flat.shape[1]), dim=1, largest=False).indices
        change = torch.zeros_like(flat).scatter(1, least, flat.gather(1, least).sign())
        return images + self.epsilon * change.view_as(images)

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        size = min(self.images, len(train))
        chosen = torch.arange(size, device=train.logits.device) * len(train) // size
        return {"shifts": self.shift(train.map(lambda part: part[chosen])).sort().values}

    def shift(self, outputs: Outputs) -> Tensor:
        """(n,) fp64 Q', larger for images whose features move more."""
        assert outputs.perturbed is not None
        a, moved = features_of(outputs).double(), features_of(outputs.perturbed).double()
        d = a.shape[1]
        top = a.topk(max(share(self.shifted, d), share(self.corrected, d)), dim=1).indices
        distance = (moved - a).abs().gather(1, top[:, : share(self.shifted, d)]).sum(1)
        correction = moved.relu().gather(1, top[:, : share(self.corrected, d)]).sum(1)
        return self.weight * distance + correction

    def factor(self, outputs: Outputs, statistics: Statistics) -> Tensor:
        """(n, 1) r ≥ 1 in the features' type; 0 where no activation is above 0."""
        shifts = statistics["shifts"]
        rank = torch.searchsorted(shifts, self.shift(outputs), right=True) / len(shifts)
        p = self.p_min + (1 - rank.double()) * (self.p_max - self.p_min)
        a = features_of(outputs).relu().sort(1, descending=True).values
        d = a.shape[1]
        kept = (d - (d * p / 100).round().long()).clamp_min(1)
        sums = a.double().cumsum(1)
        above = sums.gather(1, kept[:, None] - 1)
        return (sums[:, -1:] / above.clamp_min(1e-300)).where(above > 0, above).to(a.dtype)


@SCORES.register("adascale_a")
@dataclass(frozen=True)
class AdaScaleA(AdaScale):
    """Energy of ``W · a·exp(r) + b``; r and the source are `AdaScale`'s."""

    name: ClassVar[str] = "adascale_a"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return energy(head(features_of(outputs) * self.factor(outputs, statistics).exp()))


@SCORES.register("adascale_l")
@dataclass(frozen=True)
class AdaScaleL(AdaScale):
    """Energy of ``r² · f``; r and the source are `AdaScale`'s."""

    name: ClassVar[str] = "adascale_l"

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        return energy(outputs.logits * self.factor(outputs, statistics).square())


def share(percent: float, size: int) -> int:
    """``percent`` of ``size``, rounded, at least 1."""
    return max(1, round(percent / 100 * size))
