"""Token merging: which tokens to merge (`bipartite_match`) and the merge (`slot_sum`, …)."""

import torch
from torch import Tensor

from .. import dispatch
from . import body, native, op, reference  # noqa: F401  (op registers torch.ops.rmeeto.…)
from .checks import DISTANCES, check_free, check_match, check_range, check_slots

__all__ = ["DISTANCES", "bipartite_match", "merge_tokens", "slot_sum"]


def bipartite_match(
    features: Tensor,
    protected: Tensor,
    r: int,
    distance: str = "cosine",
    kth: int = 1,
    ordered: bool = True,
) -> tuple[Tensor, Tensor]:
    """Plan the merge of the r most redundant tokens of each image into their nearest neighbours.

    The unprotected tokens, in order, are split by parity: even ones are sources, odd ones
    targets. Each source looks for its kth most similar target between unit rows; the r sources
    with the highest such similarity are merged into that target. Ties go to the earlier token.

    Args:
        features: (B, N, F) rows to compare, any float type; no gradient flows through the plan.
        protected: (B, N) bool, tokens that neither merge nor are merged into; as many in each
            image, anywhere.
        r: tokens to remove, at most half of the unprotected ones (rounded down).
        distance: ``"cosine"``, ``"l1"`` or ``"l2"``, always between rows scaled to unit length.
            ``"l2"`` is computed as the cosine, which ranks unit rows identically (they differ
            only for rows of zeros, which the cosine finds equally far from everything).
        kth: 1 merges with the most similar target, 3 with the third most similar, ….
        ordered: keep the survivors in sequence order. If False: surviving sources by falling
            similarity, protected tokens among them at ⌊p·kept/sources⌋, then all targets.

    Returns:
        ``assign`` (B, N) int64, new slot of each old one, and ``keep`` (B, N − r) int64, old slot
        that represents each new one (increasing when ordered).

    Raises:
        ShapeError: if shapes do not fit or the images differ in their number of protected tokens.
        ConfigError: if r, distance or kth is out of range.

    Source: R-MeeTo (arXiv 2412.12496), section 3; matching of Bolya et al. (arXiv 2210.09461).
    Differs in: protected tokens anywhere and any number, kept in their exact place when ordered.
    """
    check_match(features, protected, r, distance, kth)
    if r == 0:
        slots = torch.arange(protected.shape[1], device=protected.device)
        slots = slots.repeat(protected.shape[0], 1)
        return slots, slots.clone()
    features = features.detach()
    obstacle = native.match_obstacle(features, distance, kth)
    backend = dispatch.choose("bipartite_match", obstacle)
    if backend == "native":
        return torch.ops.rmeeto.bipartite_match(features, protected, r, ordered)
    if not torch.compiler.is_compiling():
        check_free((~protected).sum(1).tolist(), r, kth)
    chosen = body if backend == "torch" else reference
    return chosen.bipartite_match(features, protected, r, distance, kth, ordered)


def slot_sum(x: Tensor, weight: Tensor | None, assign: Tensor, m: int) -> Tensor:
    """Add up the weighted rows of each slot: ``out[b,j] = Σ_{assign[b,n]=j} weight[b,n]·x[b,n]``.

    Args:
        x: (B, N, C) rows.
        weight: (B, N), or None for 1; gets no gradient.
        assign: (B, N) int64 slots from 0 to m; m drops the row.
        m: number of slots.

    Returns:
        (B, m, C) in x's type, summed in fp32 in token order; zero for an empty slot.

    Raises:
        ShapeError: if the shapes do not fit together.
    """
    check_slots("slot_sum", x, weight, assign)
    weight = None if weight is None else weight.detach()
    backend = dispatch.choose("merge_tokens", native.slot_obstacle(x, weight))
    if backend == "native":
        return torch.ops.rmeeto.slot_sum(x, weight, assign, m)
    if not torch.compiler.is_compiling():
        check_range("slot_sum", assign, m)
    return (body if backend == "torch" else reference).slot_sum(x, weight, assign, m)


def merge_tokens(tokens: Tensor, size: Tensor, assign: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Average the tokens of each slot by size: ``Σ s·x / Σ s`` and ``Σ s``.

    A token alone in its slot comes out bit for bit as it went in.

    Args:
        tokens: (B, N, C) fp32 rows.
        size: (B, N) fp32, patches each token stands for; gets no gradient.
        assign: (B, N) int64 slots from 0 to m; m drops the token.
        m: number of slots.

    Returns:
        (B, m, C) averaged tokens and (B, m) their sizes.

    Raises:
        ShapeError: if the shapes do not fit together.

    Source: R-MeeTo (arXiv 2412.12496), section 3, on the summed residual stream.
    """
    check_slots("merge_tokens", tokens, size, assign)
    size = size.detach()
    backend = dispatch.choose("merge_tokens", native.slot_obstacle(tokens, size))
    if backend == "native":
        return torch.ops.rmeeto.merge_tokens(tokens, size, assign, m)
    if not torch.compiler.is_compiling():
        check_range("merge_tokens", assign, m)
    return (body if backend == "torch" else reference).merge_tokens(tokens, size, assign, m)
