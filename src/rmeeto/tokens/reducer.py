"""`Reducer`: the settings that all reduction methods share and the few methods each one has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rmeeto.errors import ConfigError

from .host import Host
from .plan import Plan
from .state import TokenState

GOALS = ("r", "ratio", "final_tokens", "gflops")


@dataclass(frozen=True)
class Reducer:
    """How much to reduce, and where; a method adds its own settings and `plan`.

    Exactly one of `r`, `ratio`, `final_tokens` and `gflops` says how much.
    """

    name: ClassVar[str] = ""

    r: int | tuple[int, ...] | None = None
    """tokens removed at each site: one number (later sites clamp it), or one a site"""
    sites: str | int | tuple[int, ...] | None = None
    """layers before which to reduce: even, odd, all, every k-th, a list; unset = the model's own"""
    ratio: float | None = None
    """share of tokens to save, 1 − (mean tokens a block) / P; met by the nearest constant r"""
    final_tokens: int | None = None
    """tokens to leave after the last site, met exactly"""
    gflops: float | None = None
    """most 1e9 multiply-adds, `paper` convention; met by the smallest constant r"""

    def __post_init__(self) -> None:
        for name in ("r", "sites"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        self._check_goals([name for name in GOALS if getattr(self, name) is not None])
        removals = self.r if isinstance(self.r, tuple) else (self.r or 0,)
        self._require(all(_is_count(v, 0) for v in removals), "r", "use integers, 0 or more")
        self._require(self.ratio is None or 0 <= self.ratio < 1, "ratio", "use 0 up to, not 1")
        final = self.final_tokens is None or _is_count(self.final_tokens, 1)
        self._require(final, "final_tokens", "use an integer, 1 or more")
        self._require(self.gflops is None or self.gflops > 0, "gflops", "use more than 0")

    @property
    def tap(self) -> str | None:
        """Name of the features that the block before a site must leave; None: use the tokens."""
        return None

    @property
    def wants(self) -> frozenset[str]:
        """Names of all taps that are needed."""
        return frozenset() if self.tap is None else frozenset({self.tap})

    @property
    def mode(self) -> str:
        """How `apply` combines the tokens of a group."""
        return "sum"

    @property
    def matches(self) -> bool:
        """Whether a step compares tokens with each other, which costs FLOPs."""
        return True

    def check(self, host: Host) -> None:
        """Raise `ConfigError` if ``host`` cannot offer what this method needs."""
        host.tap_width(self.tap)

    def limit(self, eligible: int) -> int:
        """The most that one step can remove from ``eligible`` unprotected tokens."""
        return eligible // 2

    def plan(self, features: Tensor, state: TokenState, site: int, r: int) -> Plan:
        """Choose which ``r`` tokens go, and where.

        Args:
            features: (B, N, F) the tap asked for; the tokens themselves before the first block.
            state: the tokens as they are.
            site: index of the block before which this runs; seeds random choices.
            r: tokens to remove, 1 … ``limit(eligible)``.
        """
        raise NotImplementedError

    def _check_goals(self, goals: list[str]) -> None:
        if len(goals) != 1:
            given = ", ".join(f"{n}={getattr(self, n)!r}" for n in goals) or "none of them"
            reason = "exactly one of r, ratio, final_tokens and gflops says how much to reduce"
            raise ConfigError(f"settings of {self.name or 'a reducer'}", given, reason)

    def _require(self, holds: bool, name: str, way_out: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise ConfigError(f"{self.name or 'a reducer'}: {name}", f"{name}={value!r}", way_out)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
