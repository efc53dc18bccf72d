"""`Reduction`: a reducer with its schedule, the optional submodule of a model."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

from rmeeto.errors import ConfigError

from .host import Host
from .plan import apply
from .planner import Reducer, resolve
from .schedule import Schedule
from .state import TokenState
from .summary import Summary, summarise

M = TypeVar("M", bound=nn.Module)


class Reduction(nn.Module):
    """Reduces the tokens at the sites of a model.

    It has no parameters and no buffers, so the model's state dict keeps its keys, and where
    nothing is to be removed it hands back the very state it was given.

    Args:
        config: a reducer's settings.
        host: the model whose loop calls this.
    """

    def __init__(self, config: Reducer, host: Host) -> None:
        super().__init__()
        self.config = config
        self.schedule = resolve(config, host)
        # In a tuple, lest the model become a submodule of its own part.
        self._host = (host,)
        self._others: dict[int, Schedule] = {}
        self._share = 1.0

    def scaled(self, share: float) -> Reduction:
        """This reduction, removing only ``share`` (0 to 1) of the tokens at each site."""
        other = copy.copy(self)
        other._share, other._others = share, {}
        other.schedule = self.schedule.scaled(share)
        return other

    @property
    def wants(self) -> frozenset[str]:
        """Names of the taps that the reducer matches on."""
        return self.config.wants

    def schedule_for(self, start: int) -> Schedule:
        """The schedule for ``start`` tokens, solved once for each number of them."""
        if start == self.schedule.start:
            return self.schedule
        if start not in self._others:
            full = resolve(self.config, self._host[0], start)
            self._others[start] = full.scaled(self._share)
        return self._others[start]

    def taps_for(self, block: int, start: int | None = None) -> frozenset[str]:
        """Taps that loop block ``block`` must leave behind for the site after it.

        Args:
            block: index of the block in the loop.
            start: P of the run; None for the model's own.
        """
        removals = self.schedule_for(start or self.schedule.start).removals
        return self.wants if block + 1 < len(removals) and removals[block + 1] else frozenset()

    def forward(self, site: int, state: TokenState) -> TokenState:
        """Reduce ``state`` before block ``site``; nothing to remove → the same object.

        Raises:
            ConfigError: if the block before this site left no tap that the reducer needs.
        """
        r = self.schedule_for(state.start).removals[site]
        if r == 0:
            return state
        plan = self.config.plan(self._features(site, state), state, site, r)
        return apply(plan, state, self.config.mode)

    def summary(self) -> Summary:
        """Tokens and FLOPs of every layer, as a printable table."""
        return summarise(self.config, self.schedule, self._host[0])

    def extra_repr(self) -> str:
        return f"{self.config}, tokens {self.schedule.start} → {self.schedule.final}"

    def _features(self, site: int, state: TokenState) -> Tensor:
        tap = self.config.tap
        if tap is None or site == 0:  # no block has run yet: the tokens are all there is
            return state.tokens
        if tap not in state.taps:
            given = f"taps {sorted(state.taps)} after block {site - 1}"
            reason = "the block loop must pass taps_for(block) to its blocks"
            raise ConfigError(f"features {tap!r} at site {site}", given, reason)
        return state.taps[tap]


def reduce_(model: M, config: Reducer) -> M:
    """Attach a reduction to ``model`` in place, instead of the one it may have.

    Raises:
        ConfigError: if the settings cannot be met by this model; it is then left as it was.
    """
    if not getattr(model, "sites", ()):
        given = f"a {type(model).__name__}, which declares no sites"
        raise ConfigError("to reduce the tokens of a model", given, "use a model of rmeeto's")
    model.reduction = Reduction(config, model)  # type: ignore[arg-type]
    return model


def restore_(model: M) -> M:
    """Take the reduction off ``model`` in place; it is then the plain model again."""
    model.reduction = None  # type: ignore[assignment]
    return model
