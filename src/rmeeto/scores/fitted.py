"""`Fitted`: a score with what it learned from in-distribution data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rmeeto.errors import StaleStatisticsError

from .outputs import Head, Outputs

if TYPE_CHECKING:
    from .base import Score

Statistics = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A score with its statistics: ready to score, to save and to be checked for staleness."""

    score: Score
    """the settings"""
    statistics: Statistics
    """tensors learned from in-distribution outputs; empty for scores that are not fitted"""
    head: Head | None = None
    """the last linear layer, for scores that need it"""
    fingerprint: str = ""
    """weights, reduction and preprocessing that the statistics belong to"""

    def __call__(self, outputs: Outputs) -> Tensor:
        """(n,) scores, larger = more out-of-distribution; see `Score.__call__`."""
        return self.score.evaluate(outputs, self.head, self.statistics)

    def check(self, fingerprint: str) -> None:
        """Refuse to score another model's outputs.

        Args:
            fingerprint: of the weights, reduction and preprocessing in use now.

        Raises:
            StaleStatisticsError: it is not the one that was given to `Score.fit`.
        """
        if fingerprint != self.fingerprint:
            raise StaleStatisticsError(
                f"the score {self.score.name} for {fingerprint!r}",
                f"statistics of {self.fingerprint!r}",
                "weights, reduction or preprocessing changed since; fit the score again",
            )

    def to(self, device: torch.device | str) -> Fitted:
        """The same on another device."""
        moved = {key: value.to(device) for key, value in self.statistics.items()}
        head = self.head and Head(self.head.weight.to(device), self.head.bias.to(device))
        return Fitted(self.score, moved, head, self.fingerprint)

    def state(self) -> dict[str, Tensor]:
        """All tensors by name, contiguous and on no shared storage, as safetensors wants them."""
        named = {f"statistics.{key}": value for key, value in self.statistics.items()}
        if self.head is not None:
            named |= {"head.weight": self.head.weight, "head.bias": self.head.bias}
        return {
            key: value.detach().clone(memory_format=torch.contiguous_format)
            for key, value in named.items()
        }

    def metadata(self) -> dict[str, str]:
        """What `state` leaves out, as the strings that safetensors' metadata holds."""
        return {"score": json.dumps(self.score.settings()), "fingerprint": self.fingerprint}
