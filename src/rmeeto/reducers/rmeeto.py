"""R-MeeTo: merge redundant tokens in scan order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .common import REDUCERS
from .matching import MatchingReducer

Merge = Literal["sum", "mean", "max", "min"]


@REDUCERS.register("rmeeto")
@dataclass(frozen=True)
class RMeeTo(MatchingReducer):
    """Merge the r most redundant tokens of each site into their nearest neighbours.

    Before a site's block the unprotected tokens are split by parity. Each even one finds its most
    similar odd one; the r most similar pairs become size-weighted means Σ s·x / Σ s at the odd
    token's place in the scan. Class and register tokens take no part.

    Source: R-MeeTo (arXiv 2412.12496), method section; differs in: the class token keeps its
    exact place among its neighbours in each image (``compat="upstream"`` places it as the
    published code does), and one residual stream is merged instead of two.
    """

    name: ClassVar[str] = "rmeeto"

    merge: Merge = "sum"
    """what a group becomes: the size-weighted mean with sizes summed (sum) or averaged (mean), or
    the elementwise max or min of size · token over the max or min size"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choose("merge", Merge)

    @property
    def mode(self) -> str:
        return self.merge
