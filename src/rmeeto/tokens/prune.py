"""From features or scores to the `Plan` of a pruning: tokens go, and nothing takes them in."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .plan import Plan


def drop_sources(plan: Plan) -> Plan:
    """The same selection as ``plan``, but what it would merge is dropped instead."""
    m = plan.keep.shape[1]
    padded = torch.cat([plan.keep, plan.keep.new_full((len(plan.keep), 1), -1)], dim=1)
    slots = torch.arange(plan.assign.shape[1], device=plan.assign.device)
    merged = padded.gather(1, plan.assign) != slots
    return replace(plan, assign=plan.assign.masked_fill(merged, m))


def drop_lowest(score: Tensor, protected: Tensor, r: int) -> Plan:
    """Drop the r unprotected tokens of the lowest score; the others stay in scan order.

    Args:
        score: (B, N); of equal ones the earlier token goes first.
        protected: (B, N) bool, never dropped.
        r: tokens to drop, less than the unprotected ones.
    """
    with torch.no_grad():
        b, n = score.shape
        order = score.masked_fill(protected, torch.inf).argsort(dim=1, stable=True)
        keep = order[:, r:].sort(dim=1).values
        slots = torch.arange(n - r, device=score.device).expand(b, n - r)
        assign = torch.full_like(order, n - r).scatter_(1, keep, slots)
    return Plan(assign, keep)
