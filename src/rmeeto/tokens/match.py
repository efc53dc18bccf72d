"""From features to the `Plan` of a merge, with the ablations of the paper around it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rmeeto import ops

from .plan import Plan
from .random import generator


def match(
    features: Tensor,
    protected: Tensor,
    r: int,
    distance: str = "cosine",
    kth: int = 1,
    ordered: bool = True,
) -> Plan:
    """Merge the r even-ranked tokens that are most like an odd-ranked one into that one.

    Args:
        features: (B, N, F) rows to compare; no gradient flows through the choice.
        protected: (B, N) bool, left out, and alone in their slots afterwards.
        r: tokens to remove, at most half of the unprotected ones.
        distance: "cosine", "l1" or "l2", between rows of unit length.
        kth: merge into the most similar (1), the third most similar (3), ….
        ordered: keep the survivors in scan order.

    Source: R-MeeTo (arXiv 2412.12496), method section; see `ops.bipartite_match`.
    """
    with torch.no_grad():
        assign, keep = ops.bipartite_match(features.detach(), protected, r, distance, kth, ordered)
    return Plan(assign, keep, ordered)


def place_class_token(plan: Plan, protected: Tensor) -> Plan:
    """Move the class token to ⌊p·M/N⌋, p its old slot, wherever its neighbours went.

    That is where upstream's code puts it, in every image alike; a plan of `match` has it at its
    exact place. Without a class token the plan stays as it is.

    Args:
        plan: of N → M tokens in scan order.
        protected: (B, N) bool, true at the class token and nowhere else.
    """
    n, m = protected.shape[1], plan.keep.shape[1]
    old = protected.to(torch.uint8).argmax(dim=1, keepdim=True)
    exact = plan.assign.gather(1, old)
    wanted = torch.where(protected.any(dim=1, keepdim=True), old * m // n, exact)
    slots = torch.arange(m, device=old.device).expand(len(old), m)
    rank = slots - (slots > exact).long()  # among all but the class token
    moved = torch.where(slots == exact, wanted, rank + (rank >= wanted).long())
    assign = torch.cat([moved, moved.new_full((len(old), 1), m)], dim=1).gather(1, plan.assign)
    return replace(plan, assign=assign, keep=plan.keep.scatter(1, moved, plan.keep), ordered=False)


def shuffle(protected: Tensor, rate: float, seed: int, site: int) -> Plan:
    """Permute a share of the unprotected tokens among themselves, all images alike.

    Of E unprotected tokens, int(rate·E) are chosen and permuted by a generator seeded with
    (seed, site); which ones depends on neither the images nor the batch.

    Args:
        protected: (B, N) bool, as many in each image; they stay in their slots.
        rate: share of the tokens to permute, 0 … 1.

    Returns:
        A plan of N → N tokens, not ordered.

    Source: R-MeeTo (arXiv 2412.12496), shuffle ablation; differs in: the same permutation at
    every forward.
    """
    b, n = protected.shape
    eligible = n - int(protected[:1].sum())
    rng = generator(seed, site)
    chosen = torch.randperm(eligible, generator=rng)[: int(rate * eligible)]
    order = torch.arange(eligible)
    order[chosen] = chosen[torch.randperm(len(chosen), generator=rng)]
    places = protected.to(torch.uint8).argsort(dim=1, stable=True)[:, :eligible]
    slots = torch.arange(n, device=protected.device).expand(b, n)
    keep = slots.scatter(1, places, places[:, order.to(protected.device)])
    return Plan(torch.empty_like(keep).scatter_(1, keep, slots), keep, ordered=False)
