"""`TokenState`: the tokens of a batch between two blocks, and everything known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rmeeto.errors import ShapeError
from rmeeto.typing import Protected, Sizes, Slots, SourceMap, Tokens

if TYPE_CHECKING:
    from .plan import Plan


@dataclass(frozen=True)
class TokenState:
    """The residual stream of a batch and what each of its slots stands for.

    Where a start token went is not stored but worked out from `plans` when somebody asks
    (`source`, `anchor`, `unmerge`), so that a forward pass pays for one match and one merge a
    site and nothing else.
    """

    tokens: Tokens
    """(B, N, C) residual stream, fp32."""
    size: Sizes
    """(B, N) fp32, patches that each token stands for."""
    protected: Protected
    """(B, N) bool, class and register tokens: never merged, never dropped."""
    start: int
    """P: number of slots at the start, patches and protected tokens."""
    plans: tuple[Plan, ...] = ()
    """Every plan applied so far, oldest first."""
    taps: Mapping[str, Tensor] = field(default_factory=dict)
    """Features that the last block left behind for matching, each (B, N, F)."""

    @classmethod
    def begin(cls, tokens: Tensor, protected: Tensor) -> TokenState:
        """State of freshly embedded tokens: every size is 1, nothing has been planned.

        Args:
            tokens: (B, P, C) embedded tokens; half precision is widened to fp32.
            protected: (B, P) or (P,) bool, true at class and register tokens.

        Raises:
            ShapeError: if the mask does not fit the tokens.
        """
        if tokens.dim() != 3 or tuple(protected.shape[-2:]) not in {
            tuple(tokens.shape[:2]), tuple(tokens.shape[1:2])
        }:  # fmt: skip
            given = f"tokens {tuple(tokens.shape)}, protected {tuple(protected.shape)}"
            raise ShapeError(
                "a token state", given, "tokens must be (B, P, C) and protected (B, P) or (P,)"
            )
        tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        size = tokens.new_ones(tokens.shape[:2])
        return cls(tokens, size, protected.expand(tokens.shape[:2]), tokens.shape[1])

    @property
    def source(self) -> SourceMap:
        """(B, P) int64: the slot that each start token is in now, −1 if it was dropped."""
        slot = self._first_slots(self.start)
        for plan in self.plans:
            moved = plan.assign.gather(1, slot.clamp_min(0))
            gone = (slot < 0) | (moved == plan.keep.shape[1])
            slot = moved.masked_fill(gone, -1)
        return slot

    @property
    def anchor(self) -> Slots:
        """(B, N) int64: the start token that represents each slot; increasing in scan order."""
        start = self._first_slots(self.tokens.shape[1])
        for plan in reversed(self.plans):
            start = plan.keep.gather(1, start)
        return start

    def unmerge(self, values: Tensor | None = None, fill: float = 0.0) -> Tensor:
        """Give every start token the value of the slot it ended in.

        Args:
            values: (B, N, …) one value a slot; None for the tokens themselves.
            fill: what dropped start tokens get.

        Returns:
            (B, P, …) in the type of ``values``.
        """
        values = self.tokens if values is None else values
        return gather_slots(values, self.source, fill)

    def _first_slots(self, count: int) -> Tensor:
        slots = torch.arange(count, device=self.tokens.device)
        return slots.expand(self.tokens.shape[0], count)


def gather_slots(values: Tensor, index: Tensor, fill: float = 0.0) -> Tensor:
    """Rows of ``values`` (B, M, …) at ``index`` (B, N); outside 0…M−1 stands for ``fill``."""
    m = values.shape[1]
    outside = (index < 0) | (index >= m)
    tail = (1,) * (values.dim() - 2)
    if m == 0:
        return values.new_full((*index.shape, *values.shape[2:]), fill)
    rows = index.masked_fill(outside, 0).view(*index.shape, *tail)
    picked = values.gather(1, rows.expand(*index.shape, *values.shape[2:]))
    return picked.masked_fill(outside.view(*index.shape, *tail), fill)
