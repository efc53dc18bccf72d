"""`Schedule`: how many tokens leave before each block, fixed before the first forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmeeto.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Tokens removed before each block of the loop, for one number of start tokens."""

    removals: tuple[int, ...]
    """One entry for each block: what leaves before it runs, as it will really happen."""
    start: int
    """P: number of slots at the start."""

    def __post_init__(self) -> None:
        if any(r < 0 for r in self.removals) or sum(self.removals) >= self.start:
            given = f"removals {self.removals} of {self.start} tokens"
            raise ConfigError("a schedule", given, "remove 0 or more at a site and leave a token")

    @classmethod
    def clamped(
        cls,
        asked: Sequence[int],
        start: int,
        protected: int,
        limit: Callable[[int], int],
    ) -> Schedule:
        """The schedule that comes out of ``asked`` when no site removes more than it can.

        Args:
            asked: tokens to remove before each block.
            start: P, number of slots at the start, ``protected`` ones among them.
            protected: class and register tokens, not eligible for removal.
            limit: eligible tokens → the most that one step can remove.

        Source: R-MeeTo (arXiv 2412.12496), method section: r' = min(r, ⌊(N − 1)/2⌋).
        """
        removals, tokens = [], start
        for r in asked:
            removals.append(max(0, min(r, limit(tokens - protected))))
            tokens -= removals[-1]
        return cls(tuple(removals), start)

    def scaled(self, share: float) -> Schedule:
        """The schedule that removes ``share`` (0 to 1) of this one's tokens at each site, rounded."""
        return Schedule(tuple(round(share * r) for r in self.removals), self.start)

    def tokens(self) -> tuple[int, ...]:
        """Tokens that each block sees."""
        seen, left = [], self.start
        for r in self.removals:
            left -= r
            seen.append(left)
        return tuple(seen)

    @property
    def final(self) -> int:
        """Tokens that leave the last block."""
        return self.start - sum(self.removals)

    @property
    def ratio(self) -> float:
        """1 − (mean tokens a block) / P: the paper's reduction ratio."""
        seen = self.tokens()
        return 1 - sum(seen) / (len(seen) * self.start) if seen else 0.0

    def merges(self, width: int) -> tuple[tuple[int, int, int], ...]:
        """(tokens before, removed, ``width`` of the features) of every site that reduces."""
        steps = zip(self.tokens(), self.removals, strict=True)
        return tuple((seen + r, r, width) for seen, r in steps if r)
