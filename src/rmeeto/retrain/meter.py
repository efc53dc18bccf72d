"""Running means of the training losses, fetched from the device once a logging interval."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import NonFiniteLossError
from .world import World


class Meter:
    """Collects named numbers of every step; they wait on the device until `settle`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pending: list[tuple[int, float, dict[str, Tensor], Tensor]] = []
        self._settled: list[dict[str, float]] = []
        self.lr = 0.0

    def add(self, step: int, lr: float, shares: dict[str, Tensor], grad_norm: Tensor) -> None:
        """Note a step: this process's share of each mean, and the norm of the whole gradient."""
        self._pending.append((step, lr, shares, grad_norm))
        self.lr = lr

    def settle(self, checkpoint: str) -> None:
        """Fetch what is pending and check that all of it is finite.

        Args:
            checkpoint: the last good checkpoint in words, for the message.

        Raises:
            NonFiniteLossError: naming the first step that went wrong.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        shares = torch.stack([torch.stack(list(p[2].values())).float() for p in pending])
        self._world.sum_([shares])
        norms = torch.stack([p[3].float() for p in pending])
        rows = torch.cat([shares, norms[:, None]], 1).tolist()
        names = [*pending[0][2], "grad_norm"]
        for (step, lr, *_), row in zip(pending, rows, strict=True):
            values = dict(zip(names, row, strict=True))
            if not all(map(math.isfinite, row)):
                raise _not_finite(step, lr, values, checkpoint)
            self._settled.append(values)

    def means(self) -> dict[str, float]:
        """Means over the settled steps (empty if there are none); starts the next interval."""
        rows, self._settled = self._settled, []
        return {name: sum(r[name] for r in rows) / len(rows) for name in (rows[0] if rows else ())}

    def to_dict(self) -> dict[str, Any]:
        """The unfinished interval, for a checkpoint; call `settle` first."""
        return {"rows": list(self._settled), "lr": self.lr}

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Go on with an unfinished interval."""
        self._settled, self.lr = list(saved["rows"]), saved["lr"]


def _not_finite(
    step: int, lr: float, values: dict[str, float], checkpoint: str
) -> NonFiniteLossError:
    shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
    return NonFiniteLossError(
        "a finite loss and gradient",
        f"step {step} at learning rate {lr:g}: {shown}",
        f"training diverged; last good checkpoint: {checkpoint}; "
        "lower lr, set clip_grad = 1 or use precision fp32",
    )
