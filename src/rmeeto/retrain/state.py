"""What changes from step to step: optimiser groups, the moving average, and the best weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .recipe import Recipe
from .world import World


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: with weight decay, and without.

    Without: biases and all vectors, the parameters that the model names in ``no_weight_decay()``
    (by full or last name) and those it marks with ``_no_weight_decay``.
    """
    exempt: set[str] = getattr(model, "no_weight_decay", set)()
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_decays(name, parameter, exempt)].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def _decays(name: str, parameter: Tensor, exempt: set[str]) -> bool:
    last = name.rpartition(".")[2]
    marked = getattr(parameter, "_no_weight_decay", False)
    return not (parameter.ndim < 2 or last == "bias" or marked or {name, last} & exempt)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`; one fused kernel a group, with a fixed order of sums."""
    groups = parameter_groups(model, recipe.weight_decay)
    return torch.optim.AdamW(
        groups, lr=recipe.peak_lr, betas=recipe.betas, eps=recipe.eps, fused=True
    )


class Ema:
    """A moving average of the weights in fp32: ``a ← d·a + (1−d)·w`` after every step.

    Args:
        model: copied; the average starts at its weights.
        decay: d in [0, 1).
        warmup: use ``min(d, (1 + t)/(10 + t))`` in update t (from 0).
    """

    def __init__(self, model: nn.Module, decay: float, warmup: bool = True) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        for parameter in self.model.parameters():
            parameter.data = parameter.data.float()
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self._averages = [p.data for p in self.model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights of ``model`` in; buffers are copied."""
        t = self.updates
        decay = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        weights = [p.detach().float() for p in model.parameters()]
        torch._foreach_lerp_(self._averages, weights, 1 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
        self.updates += 1


@dataclass
class Best:
    """The latest weights whose validation accuracy was not clearly below the highest so far.

    The highest of many accuracies on few images is mostly luck, and weights get better as the
    learning rate falls: a later offer wins unless it is worse by more than the noise.

    Source: Breiman et al. 1984, the one-standard-error rule; differs in: it prefers later weights
    where the rule prefers simpler models.
    """

    accuracy: float = -1.0
    """highest so far"""
    step: int = 0
    which: str = "last"
    weights: dict[str, Tensor] | None = None

    def offer(
        self, accuracy: float, step: int, which: str, model: nn.Module, noise: float = 0.0
    ) -> None:
        """Keep a copy of the model's weights if ``accuracy`` is at most ``noise`` below the highest."""
        if accuracy >= self.accuracy - noise:
            self.accuracy = max(accuracy, self.accuracy)
            self.step, self.which = step, which
            self.weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}


@dataclass
class TrainState:
    """Model, optimiser and average at one step; `to_dict` holds all that a resume needs.

    No generator's state is in it: every random choice follows from the seed and the step.
    """

    model: nn.Module
    optimizer: torch.optim.AdamW
    ema: Ema | None
    best: Best = field(default_factory=Best)
    step: int = 0

    @classmethod
    def begin(cls, model: nn.Module, recipe: Recipe) -> TrainState:
        """The state before the first step."""
        average = None
        if recipe.ema_decay is not None:
            average = Ema(model, recipe.ema_decay, recipe.ema_warmup)
        return cls(model, make_optimizer(model, recipe), average)

    def update(self, lr: float, clip: float | None, world: World) -> Tensor:
        """One optimiser step with the gradients that have been summed up; returns their norm.

        The gradients of all processes are added, so each must hold its share of the mean.
        """
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        world.sum_(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if clip is not None:
            parameters = [p for p in self.model.parameters() if p.grad is not None]
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model)
        self.step += 1
        return norm

    def models(self) -> dict[str, nn.Module]:
        """What can be evaluated and kept: ``last`` and, if there is an average, ``ema``."""
        return {"last": self.model, **({} if self.ema is None else {"ema": self.ema.model})}

    def choose(self, keep: str) -> tuple[str, int, dict[str, Tensor]]:
        """Which weights to keep (``last`` or ``ema``), the step they are from, and themselves."""
        if keep == "best" and self.best.weights is not None:
            return self.best.which, self.best.step, self.best.weights
        which = "ema" if keep == "ema" else "last"
        return which, self.step, self.models()[which].state_dict()

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain containers only."""
        ema = self.ema and {"weights": self.ema.model.state_dict(), "updates": self.ema.updates}
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": ema,
            "best": vars(self.best).copy(),
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Take the values of a `to_dict` over."""
        self.step = saved["step"]
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.ema is not None:
            self.ema.model.load_state_dict(saved["ema"]["weights"])
            self.ema.updates = saved["ema"]["updates"]
        self.best = Best(**saved["best"])
