"""Matching and merging in plain torch, any device: every step over the whole batch at once."""

import torch
import torch.nn.functional as F
from torch import Tensor


def bipartite_match(
    features: Tensor,
    protected: Tensor,
    r: int,
    distance: str,
    kth: int,
    ordered: bool,
) -> tuple[Tensor, Tensor]:
    """Plan of every image from its similarity matrix; see the public function."""
    batch, tokens = protected.shape
    eligible, fixed = _split_by_protection(protected)
    sources, targets = eligible[:, ::2], eligible[:, 1::2]
    score, partner = _best_target(_unit_rows(features, eligible), distance, kth)
    rank = score.argsort(dim=1, descending=True, stable=True)
    merged = sources.gather(1, rank[:, :r])
    into = targets.gather(1, partner.gather(1, rank[:, :r]))
    if ordered:
        gone = torch.zeros_like(protected).scatter_(1, merged, True)
        keep = gone.to(torch.uint8).argsort(dim=1, stable=True)[:, : tokens - r]
    else:
        keep = _shuffle_by_score(sources.gather(1, rank[:, r:]), targets, fixed, sources.shape[1])
    slots = torch.arange(tokens - r, device=protected.device).expand(batch, -1)
    assign = torch.empty_like(protected, dtype=torch.int64).scatter_(1, keep, slots)
    return assign.scatter_(1, merged, assign.gather(1, into)), keep


def _split_by_protection(protected: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the free and of the protected tokens, each increasing."""
    order = protected.to(torch.uint8).argsort(dim=1, stable=True)
    free = protected.shape[1] - int(protected[:1].sum())
    return order[:, :free], order[:, free:]


def _unit_rows(features: Tensor, rows: Tensor) -> Tensor:
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    picked = features.gather(1, rows[..., None].expand(-1, -1, features.shape[2]))
    return F.normalize(picked, dim=2, eps=1e-12)


def _best_target(unit: Tensor, distance: str, kth: int) -> tuple[Tensor, Tensor]:
    """Score of the kth-best target of each source and that target's place among the targets."""
    a, b = unit[:, ::2], unit[:, 1::2]
    # Between unit rows ‖a−b‖² = 2−2a·b: l2 ranks as the cosine, so it is the cosine, ties and all.
    scores = -torch.cdist(a, b, p=1) if distance == "l1" else a @ b.mT
    if kth == 1:
        return scores.max(dim=2)
    scores, order = scores.sort(dim=2, descending=True, stable=True)
    return scores[..., kth - 1], order[..., kth - 1]


def _shuffle_by_score(kept: Tensor, targets: Tensor, fixed: Tensor, sources: int) -> Tensor:
    """Kept sources by falling score, the protected slots among them by proportion, the targets."""
    free = kept.shape[1]
    before = torch.arange(fixed.shape[1], device=fixed.device)
    place = (fixed * free // max(sources, 1)).clamp_max(free) + before
    head = fixed.shape[1] + free
    is_fixed = torch.zeros(len(kept), head, dtype=torch.bool, device=kept.device)
    is_fixed.scatter_(1, place, True)
    gaps = is_fixed.to(torch.uint8).argsort(dim=1, stable=True)[:, :free]
    out = torch.empty(len(kept), head, dtype=torch.int64, device=kept.device)
    out.scatter_(1, place, fixed).scatter_(1, gaps, kept)
    return torch.cat([out, targets], 1)


def slot_sum(x: Tensor, weight: Tensor | None, assign: Tensor, m: int) -> Tensor:
    """Sum the weighted rows of each slot in fp32, in token order."""
    rows = x.to(torch.promote_types(x.dtype, torch.float32))
    rows = rows if weight is None else rows * weight.to(rows.dtype)[..., None]
    # -0.0 is the sum of nothing that leaves the bits of a lone addend as they are.
    out = rows.new_full((x.shape[0], m + 1, x.shape[2]), -0.0)
    out.scatter_add_(1, assign[..., None].expand_as(rows), rows)
    return out[:, :m].to(x.dtype).contiguous()


def slot_gather(y: Tensor, weight: Tensor | None, assign: Tensor) -> Tensor:
    """Each row's slot times its weight, zero where the row was dropped: the adjoint of slot_sum."""
    spill = F.pad(y, (0, 0, 0, 1))
    rows = spill.gather(1, assign[..., None].expand(-1, -1, y.shape[2]))
    return rows if weight is None else (rows * weight[..., None]).to(y.dtype)


def merge_tokens(tokens: Tensor, size: Tensor, assign: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Size-weighted mean and total size of each slot."""
    total = slot_sum(size[..., None], None, assign, m)[..., 0]
    return slot_sum(tokens, share(size, total, assign), assign, m), total


def share(size: Tensor, total: Tensor, assign: Tensor) -> Tensor:
    """What part of its slot each token makes up: exactly 1 for a token alone, 0 for a dropped one."""
    slot = F.pad(total, (0, 1), value=torch.inf).gather(1, assign)
    return size / slot
