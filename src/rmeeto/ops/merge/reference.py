"""Definition of matching and merging as loops over images and tokens: slow, meant to be read."""

import math

import torch
from torch import Tensor


def bipartite_match(
    features: Tensor,
    protected: Tensor,
    r: int,
    distance: str,
    kth: int,
    ordered: bool,
) -> tuple[Tensor, Tensor]:
    """Match image by image; see the public function."""
    plans = [
        match_one(f.tolist(), p.tolist(), r, distance, kth, ordered)
        for f, p in zip(features.double(), protected, strict=True)
    ]
    batch, tokens = protected.shape
    assign = torch.tensor([plan[0] for plan in plans], dtype=torch.int64)
    keep = torch.tensor([plan[1] for plan in plans], dtype=torch.int64)
    return (
        assign.reshape(batch, tokens).to(features.device),
        keep.reshape(batch, tokens - r).to(features.device),
    )


def match_one(features, protected, r, distance, kth, ordered) -> tuple[list[int], list[int]]:
    """Plan of one image from lists: ``assign`` by old slot and ``keep`` by new slot."""
    eligible = [n for n, fixed in enumerate(protected) if not fixed]
    sources, targets = eligible[::2], eligible[1::2]
    unit = {n: normalise(features[n]) for n in eligible}
    best = {}
    for a in sources if r else ():
        scores = [(similarity(unit[a], unit[b], distance), b) for b in targets]
        best[a] = sorted(scores, key=lambda pair: -pair[0])[kth - 1]
    ranked = sorted(best, key=lambda a: -best[a][0])  # sorts are stable: ties keep scan order
    merged = {a: best[a][1] for a in ranked[:r]}
    survivors = [n for n in range(len(protected)) if n not in merged]
    if r and not ordered:
        survivors = shuffle_by_score(ranked[r:], targets, protected, len(sources))
    slot = {old: new for new, old in enumerate(survivors)}
    return [slot[merged.get(n, n)] for n in range(len(protected))], survivors


def shuffle_by_score(kept, targets, protected, sources) -> list[int]:
    """Kept sources by falling score, the protected slots among them by proportion, the targets."""
    out = list(kept)
    fixed = [n for n, is_fixed in enumerate(protected) if is_fixed]
    for before, n in enumerate(fixed):
        out.insert(before + min(n * len(kept) // sources, len(kept)), n)
    return out + targets


def normalise(row: list[float]) -> list[float]:
    """The row over its length; a row of zeros stays zero."""
    length = max(math.sqrt(math.fsum(v * v for v in row)), 1e-12)
    return [v / length for v in row]


def similarity(a: list[float], b: list[float], distance: str) -> float:
    """Larger is closer; ``l2`` ranks unit rows exactly as the cosine does, so it is the cosine."""
    if distance == "l1":
        return -math.fsum(abs(x - y) for x, y in zip(a, b, strict=True))
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def slot_sum(x: Tensor, weight: Tensor | None, assign: Tensor, m: int) -> Tensor:
    """Add each weighted row to its slot, one at a time; see the public function."""
    wide = torch.promote_types(x.dtype, torch.float32)
    # -0.0 is the sum of nothing that leaves the bits of a lone addend as they are.
    out = torch.full((x.shape[0], m + 1, x.shape[2]), -0.0, dtype=wide, device=x.device)
    for b in range(x.shape[0]):
        for n, slot in enumerate(assign[b].tolist()):
            out[b, slot] += x[b, n].to(wide) * (1 if weight is None else weight[b, n])
    return out[:, :m].to(x.dtype).contiguous()


def merge_tokens(tokens: Tensor, size: Tensor, assign: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Average each slot's tokens by size; see the public function."""
    total = slot_sum(size[..., None], None, assign, m)[..., 0]
    share = torch.zeros_like(size)
    for b in range(size.shape[0]):
        for n, slot in enumerate(assign[b].tolist()):
            if slot < m:
                share[b, n] = size[b, n] / total[b, slot]
    return slot_sum(tokens, share, assign, m), total
