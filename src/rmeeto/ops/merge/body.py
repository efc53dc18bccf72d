"""Matching and merging in plain torch, any device: every step over the whole batch at once.

No shape depends on values (how many tokens are protected), so all of it can be traced and exported.
"""

import torch
from torch import Tensor
from torch.nn import functional


def bipartite_match(
    features: Tensor, protected: Tensor, r: int, distance: str, kth: int, ordered: bool
) -> tuple[Tensor, Tensor]:
    """Plan of every image from its similarity matrix; see the public function."""
    tokens = protected.shape[1]
    # Unprotected tokens first, in order: even places are sources, odd ones targets. The protected
    # ones behind them fall into both sets and are masked out by scores of -inf.
    order, _ = _send_behind(protected)
    sources, targets = order[:, ::2], order[:, 1::2]
    scores = _similarity(_unit_rows(features, order), distance)
    scores = scores.masked_fill(protected.gather(1, targets)[:, None], -torch.inf)
    score, partner = _kth_best(scores, kth)
    score = score.masked_fill(protected.gather(1, sources), -torch.inf)
    rank = score.argsort(dim=1, descending=True, stable=True)
    merged = sources.gather(1, rank[:, :r])
    into = targets.gather(1, partner.gather(1, rank[:, :r]))
    if ordered:
        keep, slot = _send_behind(torch.zeros_like(protected).scatter(1, merged, True))
    else:
        place = _places_by_score(protected, sources.gather(1, rank), r)
        keep = place.scatter(1, merged, torch.iinfo(torch.int64).max).argsort(dim=1, stable=True)
        slot = keep.argsort(dim=1)
    return slot.scatter(1, merged, slot.gather(1, into)), keep[:, : tokens - r].contiguous()


def _send_behind(marked: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens in order but the marked ones last; and where each token went."""
    front = (~marked).cumsum(1)
    place = torch.where(marked, front[:, -1:] + marked.cumsum(1), front) - 1
    index = torch.arange(marked.shape[1], device=marked.device).expand(marked.shape)
    return torch.zeros_like(place).scatter(1, place, index), place


def _unit_rows(features: Tensor, order: Tensor) -> Tensor:
    rows = features.flatten(0, 1).index_select(0, _flat(order, order.shape[1]))
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return functional.normalize(rows, dim=1, eps=1e-12).view(features.shape)


def _flat(index: Tensor, rows: int) -> Tensor:
    """Positions among the rows of all images: whole rows move about fastest this way."""
    first = torch.arange(index.shape[0], device=index.device)[:, None] * rows
    return (index + first).flatten()


def _similarity(unit: Tensor, distance: str) -> Tensor:
    """Sources × targets, larger is closer."""
    a, b = unit[:, ::2], unit[:, 1::2]
    # Between unit rows ‖a−b‖² = 2−2a·b: l2 ranks as the cosine, so it is the cosine, ties and all.
    return -torch.cdist(a, b, p=1) if distance == "l1" else a @ b.mT


def _kth_best(scores: Tensor, kth: int) -> tuple[Tensor, Tensor]:
    if kth == 1:
        score, partner = scores.max(dim=2)
        return score, partner
    scores, partner = scores.sort(dim=2, descending=True, stable=True)
    return scores[..., kth - 1], partner[..., kth - 1]


def _places_by_score(protected: Tensor, ranked: Tensor, r: int) -> Tensor:
    """Sort keys: kept sources by falling score, protected tokens by proportion, then targets."""
    tokens = protected.shape[1]
    sources = (tokens - protected.sum(1, keepdim=True) + 1) // 2
    kept = sources - r
    index = torch.arange(tokens, device=protected.device).expand(protected.shape)
    by_rank = torch.arange(ranked.shape[1], device=protected.device).expand(ranked.shape) - r
    places = (2 * tokens + index).scatter(1, ranked, 2 * by_rank + 1)
    among = 2 * torch.minimum(index * kept // sources.clamp_min(1), kept)
    return torch.where(protected, among, places)


def slot_sum(x: Tensor, weight: Tensor | None, assign: Tensor, m: int) -> Tensor:
    """Sum the weighted rows of each slot in fp32, in token order."""
    rows = x.to(torch.promote_types(x.dtype, torch.float32))
    rows = rows if weight is None else rows * weight.to(rows.dtype)[..., None]
    # -0.0 is the sum of nothing that leaves the bits of a lone addend as they are.
    out = rows.new_full((x.shape[0] * (m + 1), x.shape[2]), -0.0)
    out = out.index_add(0, _flat(assign, m + 1), rows.flatten(0, 1))
    return out.view(x.shape[0], m + 1, x.shape[2])[:, :m].to(x.dtype).contiguous()


def merge_tokens(tokens: Tensor, size: Tensor, assign: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Size-weighted mean and total size of each slot."""
    total = slot_sum(size[..., None], None, assign, m)[..., 0]
    return slot_sum(tokens, share(size, total, assign), assign, m), total


def share(size: Tensor, total: Tensor, assign: Tensor) -> Tensor:
    """The part of its slot that each token makes up: exactly 1 if alone, 0 if dropped."""
    return size / functional.pad(total, (0, 1), value=torch.inf).gather(1, assign)
