"""Settings of the two-set matching that R-MeeTo and its pruning baseline share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from rmeeto.errors import ConfigError
from rmeeto.tokens import (
    Host,
    Plan,
    Reducer,
    TokenState,
    compose,
    gather_slots,
    match,
    place_class_token,
    shuffle,
)

Metric = Literal["update", "tokens", "b", "c", "delta", "q", "k", "v"]
Distance = Literal["cosine", "l1", "l2"]
Compat = Literal["upstream"]


@dataclass(frozen=True)
class MatchingReducer(Reducer):
    """Select the r tokens of even rank that are most like one of odd rank.

    Source: R-MeeTo (arXiv 2412.12496), method section.
    """

    metric: Metric = "update"
    """features to match on: the last mixer's output (the paper's X), the tokens, or what the
    mixer made of them (b, c, delta; q, k, v); before the first block always the tokens"""
    distance: Distance = "cosine"
    """distance between features of unit length"""
    kth: int = 1
    """1 pairs a token with the most similar one, 3 with the third most similar, …; a site with
    fewer than kth candidates is left out"""
    ordered: bool = True
    """keep survivors in scan order; false puts even ones first, by falling similarity"""
    shuffle: float = 0.0
    """share of tokens permuted before each match, to study the order's worth; 0 … 1"""
    seed: int = 0
    """seed of the shuffle"""
    compat: Compat | None = None
    """"upstream" places the class token by proportion, as the published code does, and allows
    `final_tokens` beside `r`: what its last site is forced to leave"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choose("metric", Metric)
        self._choose("distance", Distance)
        self._require(self.compat in (None, "upstream"), "compat", "leave it unset or 'upstream'")
        self._require(self.kth >= 1, "kth", "use 1 (the most similar) or more")
        self._require(0 <= self.shuffle <= 1, "shuffle", "use a share from 0 to 1")
        self._require(self.seed >= 0, "seed", "use 0 or more")

    @property
    def tap(self) -> str | None:
        return None if self.metric == "tokens" else self.metric

    def check(self, host: Host) -> None:
        super().check(host)
        if self.compat == "upstream" and host.num_protected > 1:
            given = f"a model with {host.num_protected} protected tokens"
            raise ConfigError(
                f"{self.name} with compat='upstream'",
                given,
                "it knows one class token; unset compat",
            )

    def limit(self, eligible: int) -> int:
        targets = eligible // 2
        return targets if targets >= self.kth else 0

    def plan(self, features: Tensor, state: TokenState, site: int, r: int) -> Plan:
        if not self.shuffle:
            return self._match(features, state.protected, r)
        mixed = shuffle(state.protected, self.shuffle, self.seed, site)
        features = gather_slots(features, mixed.keep)
        return compose(mixed, self._match(features, state.protected, r))

    def _match(self, features: Tensor, protected: Tensor, r: int) -> Plan:
        plan = match(features, protected, r, self.distance, self.kth, self.ordered)
        upstream = self.compat == "upstream" and self.ordered
        return place_class_token(plan, protected) if upstream else plan

    def _check_goals(self, goals: list[str]) -> None:
        if self.compat != "upstream" or goals != ["r", "final_tokens"]:
            super()._check_goals(goals)

    def _choose(self, name: str, choices: object) -> None:
        known = get_args(choices)
        self._require(getattr(self, name) in known, name, f"use one of {', '.join(known)}")
