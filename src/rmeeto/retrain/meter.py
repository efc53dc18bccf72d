"""Running means of the training losses, fetched from the device once a logging interval."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import NonFiniteLossError
from .world import World


class Meter:
    """Collects one row of numbers a step; rows wait on the device until `settle`.

    Args:
        world: rows of all processes are added up.
        names: what the columns are; the last one is the gradient norm, the same everywhere.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._pending: list[tuple[int, float, dict[str, Tensor]]] = []
        self._settled: list[dict[str, float]] = []
        self.lr = 0.0

    def add(self, step: int, lr: float, values: dict[str, Tensor]) -> None:
        """Note the values of one step: this process's share of each mean, and ``grad_norm``."""
        self._pending.append((step, lr, values))
        self.lr = lr

    def settle(self, checkpoint: str) -> None:
        """Fetch the pending rows and check that all numbers are finite.

        Args:
            checkpoint: the last good checkpoint in words, for the message.

        Raises:
            NonFiniteLossError: naming the first step that went wrong.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        names = list(pending[0][2])
        rows = torch.stack([torch.stack([v[n].float() for n in names]) for *_, v in pending])
        shares = rows[:, [n != "grad_norm" for n in names]].contiguous()
        self._world.sum_([shares])
        rows[:, [n != "grad_norm" for n in names]] = shares
        for (step, lr, _), row in zip(pending, rows.tolist(), strict=True):
            values = dict(zip(names, row, strict=True))
            if not all(map(_finite, row)):
                raise _not_finite(step, lr, values, checkpoint)
            self._settled.append(values)

    def means(self) -> dict[str, float]:
        """Means over the settled steps; starts the next interval."""
        rows, self._settled = self._settled, []
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def to_dict(self) -> dict[str, Any]:
        """The unfinished interval, for a checkpoint; call `settle` first."""
        return {"rows": list(self._settled), "lr": self.lr}

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Go on with an unfinished interval."""
        self._settled, self.lr = list(saved["rows"]), saved["lr"]


def _finite(value: float) -> bool:
    return value - value == 0


def _not_finite(
    step: int, lr: float, values: dict[str, float], checkpoint: str
) -> NonFiniteLossError:
    shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
    return NonFiniteLossError(
        "a finite loss and gradient",
        f"step {step} at learning rate {lr:g}: {shown}",
        f"training diverged; last good checkpoint: {checkpoint}; "
        "lower --lr, add --clip-grad 1 or use --precision fp32",
    )
