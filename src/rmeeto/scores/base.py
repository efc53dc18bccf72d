"""`Score`: the settings of a method, and the few methods each one has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rmeeto.config import to_dict
from rmeeto.errors import ConfigError, ScoreError

from .checks import (
    check_head,
    check_labels,
    check_outputs,
    check_shape,
    refuse_non_finite,
    shape_of,
    warn_if_negative,
)
from .fitted import Fitted, Statistics
from .outputs import Head, Outputs

Needs = Literal["logits", "features", "head"]


@dataclass(frozen=True)
class Score:
    """An out-of-distribution score: larger = more out-of-distribution.

    A method sets the class attributes and defines `_score`, and `_statistics` if it is fitted.
    Settings are chosen from in-distribution data alone. No image's score depends on another image
    of the batch (up to the rounding of matrix products).
    """

    name: ClassVar[str] = ""
    needs: ClassVar[Needs] = "logits"
    """logits alone, logits and features, or these and the `Head`"""
    fitted: ClassVar[bool] = False
    """whether it learns statistics from in-distribution outputs"""
    labelled: ClassVar[bool] = False
    """whether fitting reads labels"""
    held_out: ClassVar[bool] = False
    """whether it should be fitted on images that the model was not trained on"""
    nonnegative: ClassVar[bool] = False
    """whether it assumes features that a ReLU has made non-negative"""
    layered: ClassVar[bool] = False
    """whether it reads `Outputs.layers`"""
    gradient: ClassVar[bool] = False
    """whether it reads `Outputs.perturbed`, which costs a backward and a second forward pass"""

    def fit(
        self, train: Outputs | None = None, head: Head | None = None, fingerprint: str = ""
    ) -> Fitted:
        """Learn the statistics; a score that has none is bound to the head.

        Args:
            train: in-distribution outputs, (n, ·); None only for scores that are not fitted.
            head: the last linear layer, for scores that need it.
            fingerprint: of the weights, reduction and preprocessing that made the outputs.

        Raises:
            ScoreError: a part is missing, holds NaN or infinity, or is too little to fit on.
        """
        check_head(self, head)
        head = head if self.needs == "head" else None
        if train is not None:
            check_outputs(self, train, head)
            warn_if_negative(self, train, stacklevel=2)
        statistics = self._fit(train, head) if self.fitted else {}
        return Fitted(self, statistics, head, fingerprint)

    def __call__(self, outputs: Outputs, head: Head | None = None) -> Tensor:
        """Scores of a method that is not fitted.

        Args:
            outputs: of n images.
            head: the last linear layer, if the score needs it.

        Returns:
            (n,) fp32 (fp64 for fp64 logits), larger = more out-of-distribution.

        Raises:
            ScoreError: the score must be fitted first; a part is missing or not finite.
        """
        if self.fitted:
            reason = "call fit(train, head) with in-distribution outputs and score with the result"
            raise ScoreError(f"the score {self.name}", "no fitted statistics", reason)
        check_head(self, head)
        warn_if_negative(self, outputs, stacklevel=2)
        return self.evaluate(outputs, head, {})

    @torch.no_grad()
    def evaluate(self, outputs: Outputs, head: Head | None, statistics: Statistics) -> Tensor:
        """Check ``outputs`` and score them chunk by chunk; called by `Fitted` and `__call__`."""
        head = head if self.needs == "head" else None
        check_outputs(self, outputs, head)
        if "shape" in statistics:
            check_shape(self, outputs, statistics["shape"])
        chunks = outputs.chunks(self._chunk(statistics))
        parts = [self._score(part, head, statistics) for part in chunks]  # type: ignore[arg-type]
        scores = torch.cat(parts) if parts else outputs.logits.new_zeros(0)
        refuse_non_finite(self.name, "scores", scores)
        return scores.to(outputs.logits.dtype)

    @torch.no_grad()
    def _fit(self, train: Outputs | None, head: Head | None) -> Statistics:
        if train is None or len(train) == 0:
            reason = "give the outputs of in-distribution images"
            raise ScoreError(f"to fit the score {self.name}", "no outputs", reason)
        if self.labelled:
            check_labels(self, train)
        statistics = self._statistics(train.detach(), head)  # type: ignore[arg-type]
        return {**statistics, "shape": shape_of(self, train)}

    def _statistics(self, train: Outputs, head: Head) -> Statistics:
        """What `_score` needs of the checked in-distribution outputs; ``head`` only if needed."""
        raise NotImplementedError

    def _score(self, outputs: Outputs, head: Head, statistics: Statistics) -> Tensor:
        """(n,) scores of a chunk of checked outputs."""
        raise NotImplementedError

    def _chunk(self, statistics: Statistics) -> int:
        """Images to score at once, to bound memory."""
        return 1024

    def settings(self) -> dict[str, Any]:
        """Name and settings as plain values that `score_from_dict` reads."""
        return {"name": self.name, **to_dict(self)}

    def _require(self, holds: bool, name: str, way_out: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise ConfigError(f"the score {self.name}", f"{name}={value!r}", way_out)
