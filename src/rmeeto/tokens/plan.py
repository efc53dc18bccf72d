"""`Plan`: one reduction of a batch of token sequences as two integer tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rmeeto import ops
from rmeeto.errors import ConfigError, ShapeError
from rmeeto.typing import Slots

from .state import TokenState, gather_slots

MODES = ("sum", "mean", "max", "min")


@dataclass(frozen=True)
class Plan:
    """Which old slot goes into which new one, and who represents it.

    Merging, pruning and reordering are all plans; two plans in a row are one plan (`compose`).
    """

    assign: Slots
    """(B, N) int64: old slot → new slot; M = dropped."""
    keep: Slots
    """(B, M) int64: the old slot that represents each new one; increasing when ordered."""
    ordered: bool = True
    """Whether the survivors are in scan order (ablations and upstream's class place are not)."""

    @classmethod
    def identity(cls, b: int, n: int, device: torch.device | str | None = None) -> Plan:
        """The plan that leaves ``b`` images of ``n`` tokens as they are."""
        slots = torch.arange(n, device=device).expand(b, n)
        return cls(slots, slots)

    @property
    def removed(self) -> int:
        """Slots fewer than before, N − M."""
        return self.assign.shape[1] - self.keep.shape[1]

    def describe(self) -> str:
        """One line: token counts, how many were merged and dropped, the largest group."""
        b, m = self.keep.shape
        dropped = (self.assign == m).sum(1)
        merged = self.removed - dropped
        groups = int(_count(self).max()) if self.keep.numel() else 0
        order = "" if self.ordered else ", not in scan order"
        return (
            f"{b} images, {self.assign.shape[1]} → {m} tokens: {_span(merged)} merged, "
            f"{_span(dropped)} dropped, largest group {groups}{order}"
        )

    def check(self, protected: Tensor | None = None) -> None:
        """Make sure that the plan is sound.

        Args:
            protected: (B, N) bool; if given, these tokens must survive alone in their slots.

        Raises:
            ShapeError: naming the first broken invariant.
        """
        for name, holds in _invariants(self, protected):
            if not holds:
                raise ShapeError("a sound plan", self._shapes(), f"broken: {name}")

    def unmerge(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """(B, M, …) → (B, N, …): each old slot gets its new slot's value, dropped ones ``fill``."""
        return gather_slots(values, self.assign, fill)

    def _shapes(self) -> str:
        return f"assign {tuple(self.assign.shape)}, keep {tuple(self.keep.shape)}"


def compose(first: Plan, second: Plan) -> Plan:
    """The one plan that does ``first`` and then ``second``."""
    if first.keep.shape != second.assign.shape:
        given = f"{tuple(first.keep.shape)} slots, then a plan for {tuple(second.assign.shape)}"
        raise ShapeError("two plans in a row", given, "the second must start where the first ends")
    m = second.keep.shape[1]
    assign = gather_slots(second.assign, first.assign, fill=m)
    return Plan(assign, first.keep.gather(1, second.keep), first.ordered and second.ordered)


def apply(plan: Plan, state: TokenState, mode: str = "sum") -> TokenState:
    """Turn ``state`` into the shorter one that ``plan`` describes.

    With s the sizes and x the tokens of a group: ``sum`` gives Σ s·x / Σ s of size Σ s;
    ``mean`` the same token of size mean(s); ``max`` and ``min`` give max(s·x) / max(s),
    elementwise, of size max(s) (or the minimum). A token alone in its slot is carried over bit
    for bit and a dropped one leaves no trace. Gradients flow to the tokens only.

    Args:
        plan: for exactly the tokens of ``state``.
        mode: "sum", "mean", "max" or "min".

    Returns:
        State of M tokens, its taps cleared and ``plan`` appended to its plans.

    Raises:
        ConfigError: if there is no such mode.
        ShapeError: if the plan is for another number of images or tokens.

    Source: R-MeeTo (arXiv 2412.12496), method section; differs in: one residual stream instead
    of two (the mean is linear), so that max and min act on the sum of the streams.
    """
    if mode not in MODES:
        raise ConfigError("a merge mode", repr(mode), f"known: {', '.join(MODES)}")
    if plan.assign.shape != state.size.shape:
        given = f"a plan for {tuple(plan.assign.shape)}, a state of {tuple(state.size.shape)}"
        raise ShapeError("to apply a plan", given, "images and tokens must agree")
    tokens, size = (_extreme if mode in ("max", "min") else _average)(plan, state, mode)
    protected = state.protected.gather(1, plan.keep)
    plans = (*state.plans, plan)
    return replace(state, tokens=tokens, size=size, protected=protected, plans=plans, taps={})


def _average(plan: Plan, state: TokenState, mode: str) -> tuple[Tensor, Tensor]:
    tokens, size = ops.merge_tokens(state.tokens, state.size, plan.assign, plan.keep.shape[1])
    size = size.detach()
    if mode == "mean":
        size = size / _count(plan).to(size.dtype)
    return tokens, size


def _extreme(plan: Plan, state: TokenState, mode: str) -> tuple[Tensor, Tensor]:
    scaled = torch.cat([state.tokens * state.size[..., None], state.size[..., None]], dim=2)
    m = plan.keep.shape[1]
    index = plan.assign[..., None].expand_as(scaled)
    slots = scaled.new_zeros(scaled.shape[0], m + 1, scaled.shape[2])
    slots = slots.scatter_reduce(1, index, scaled, f"a{mode}", include_self=False)[:, :m]
    size = slots[..., -1].detach()
    alone = (_count(plan) == 1)[..., None]
    own = gather_slots(state.tokens, plan.keep)
    return torch.where(alone, own, slots[..., :-1] / size[..., None]), size


def _count(plan: Plan) -> Tensor:
    """(B, M) int64: old slots in each new one."""
    b, m = plan.keep.shape
    ones = torch.ones_like(plan.assign)
    return ones.new_zeros(b, m + 1).scatter_add_(1, plan.assign, ones)[:, :m]


def _span(counts: Tensor) -> str:
    low, high = (int(counts.min()), int(counts.max())) if counts.numel() else (0, 0)
    return str(low) if low == high else f"{low}–{high}"


def _invariants(plan: Plan, protected: Tensor | None):
    assign, keep = plan.assign, plan.keep
    m, n = keep.shape[-1], assign.shape[-1]
    whole = all(x.dim() == 2 and x.dtype == torch.int64 for x in (assign, keep))
    yield "assign and keep are (B, N) and (B, M) int64", whole and len(assign) == len(keep)
    yield "there are no more new slots than old ones", m <= n
    yield "assign lies in 0…M", bool(((assign >= 0) & (assign <= m)).all())
    yield "keep lies in 0…N−1", bool(((keep >= 0) & (keep < n)).all())
    own = assign.gather(1, keep) == torch.arange(m, device=keep.device)
    yield "the representative of a slot is in that slot", bool(own.all())
    if plan.ordered:
        yield "keep increases", bool((keep.diff(dim=1) > 0).all())
    if protected is not None:
        yield "protected has one value for each old slot", protected.shape == assign.shape
        alone = gather_slots(_count(plan), assign) == 1
        yield "protected tokens survive alone", bool((alone | ~protected).all())
