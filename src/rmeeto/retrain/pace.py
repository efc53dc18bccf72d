"""Where the wall time goes, and when a validation or a checkpoint is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .recipe import Recipe
from .schedule import Budget, step_limit
from .world import World

_VALIDATION_SHARE = 0.1  # of a timed run's wall time, the last validation not counted
_MARGIN = 1.1  # on measured durations, so that the last validation ends in time
_FORWARD_SHARE = 0.5  # of a training step: a careful guess before the first validation


@dataclass
class Spent:
    """Seconds that did not go into training, and how long one of each took."""

    validating: float = 0.0
    saving: float = 0.0
    one_validation: float | None = None
    one_save: float = 0.0


class Pace:
    """The run's clock: all processes see the same time, so all take the same decisions.

    Args:
        recipe: bounds and intervals.
        steps_per_epoch: optimiser steps.
        validation_images: forward passes of one validation, average included; 0 = no validation.
        world: this process among the others.
        device: where processes meet.
    """

    def __init__(
        self,
        recipe: Recipe,
        steps_per_epoch: int,
        validation_images: int,
        world: World,
        device: torch.device,
    ) -> None:
        self._recipe, self._world, self._device = recipe, world, device
        self._steps = step_limit(recipe, steps_per_epoch)
        self._every = recipe.validate_every or steps_per_epoch
        self._validation_images = validation_images
        self.spent = Spent()
        self.start(0)

    def start(self, step: int, elapsed: float = 0.0) -> None:
        """Set the clock running at ``elapsed`` seconds, ``step`` steps done."""
        minutes = self._recipe.minutes
        self.budget = Budget(self._steps, None if minutes is None else 60 * minutes, elapsed)
        self._saved_at, self._mark = elapsed, (step, self.training_seconds)

    def now(self) -> float:
        """Seconds of the run; notes them as elapsed."""
        self.budget.elapsed = self._world.agree(self.budget.clock(), self._device)
        return self.budget.elapsed

    def tick(self, step: int) -> None:
        """Note that ``step`` steps are done now, and keep time for the end."""
        self.budget.tick(step, self._world.agree(self.budget.clock(), self._device))
        self.budget.reserve = _MARGIN * (self._one_validation() + self.spent.one_save)

    def validation_due(self, step: int) -> bool:
        """Whether to validate after step ``step``; a timed run spends a tenth of its time on it."""
        if not self._validation_images or step % self._every:
            return False
        expected = self.spent.validating + self._one_validation()
        timed = self.budget.seconds is not None
        return not timed or expected <= _VALIDATION_SHARE * self.budget.elapsed

    def save_due(self, step: int) -> bool:
        """Whether to write a checkpoint after step ``step``."""
        every, seconds = self._recipe.checkpoint_every, self._recipe.checkpoint_seconds
        if every is not None and step % every == 0:
            return True
        return seconds is not None and self.budget.elapsed - self._saved_at >= seconds

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Time the validation inside."""
        began = self.now()
        yield
        self.spent.one_validation = self.now() - began
        self.spent.validating += self.spent.one_validation

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time the checkpoint written inside."""
        began = self.now()
        yield
        self.spent.one_save = self.now() - began
        self.spent.saving += self.spent.one_save
        self._saved_at = self.budget.elapsed

    @property
    def training_seconds(self) -> float:
        """Seconds of training alone, as of the last look at the clock."""
        return self.budget.elapsed - self.spent.validating - self.spent.saving

    def images_per_second(self, step: int) -> float:
        """Training images a second since the last call."""
        (first, then), self._mark = self._mark, (step, self.training_seconds)
        return (step - first) * self._recipe.batch_size / max(self._mark[1] - then, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"elapsed": self.budget.elapsed, "spent": asdict(self.spent)}

    def load_dict(self, step: int, saved: dict[str, Any]) -> None:
        """Go on from a `to_dict`."""
        self.spent = Spent(**saved["spent"])
        self.start(step, saved["elapsed"])

    def _one_validation(self) -> float:
        if self.spent.one_validation is not None:
            return self.spent.one_validation
        per_image = self.budget.seconds_per_step / self._recipe.batch_size
        return _FORWARD_SHARE * per_image * self._validation_images
