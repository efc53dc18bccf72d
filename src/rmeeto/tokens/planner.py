"""Solve a reducer's settings for a host: from "how much" to a `Schedule`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmeeto.errors import ConfigError, unknown_name

from .host import Host
from .reducer import Reducer
from .schedule import Schedule


def resolve(config: Reducer, host: Host, start: int | None = None) -> Schedule:
    """The schedule that meets the settings.

    `r` is taken as it is; a constant one is clamped where few tokens are left. `ratio` takes the
    constant r whose ratio is nearest (0.31 is r = 11 for the paper's models, which reaches
    0.307). `gflops` takes the smallest constant r that costs no more. `final_tokens` takes the
    smallest constant r that gets there and lets the last sites remove less, so that the count is
    met exactly; together with `r` (compat only) it is upstream's forced last merge.

    Args:
        config: the reducer's settings.
        host: the model.
        start: P; None for the model's own.

    Raises:
        ConfigError: if the settings cannot be met, naming what can.
    """
    config.check(host)
    start = host.num_tokens if start is None else start
    solver = _Solver(config, host, start, site_blocks(config.sites, host))
    if config.r is not None:
        return solver.explicit(config.r)
    if config.final_tokens is not None:
        return solver.for_final(config.final_tokens)
    if config.ratio is not None:
        return solver.for_ratio(config.ratio)
    return solver.for_gflops(config.gflops or 0.0)


def site_blocks(setting: str | int | tuple[int, ...] | None, host: Host) -> tuple[int, ...]:
    """Loop blocks before which a reducer with this `sites` setting runs.

    "even" is layers 2, 4, …, "odd" 1, 3, …, k every k-th but the first, "all" every one that
    some block precedes: before the first block there is nothing yet to match on.

    Raises:
        ConfigError: if it is no such setting or no layer of the host fits it.
    """
    setting = host.default_sites if setting is None else setting
    if setting == "all":
        return tuple(block for block in host.sites if block > 0)
    layers = _layers(setting, len(host.sites))
    if not layers:
        given = f"sites={setting!r} on {len(host.sites)} layers"
        raise ConfigError("sites to reduce at", given, "no layer fits that; use sites='all'")
    return tuple(host.sites[layer] for layer in layers)


def cost(config: Reducer, schedule: Schedule, host: Host, convention: str = "paper") -> float:
    """Multiply-adds of one image under ``schedule``, matching included."""
    merges = schedule.merges(host.tap_width(config.tap)) if config.matches else ()
    return host.flops(schedule.tokens(), merges, convention)


def _layers(setting: str | int | tuple[int, ...], depth: int) -> tuple[int, ...]:
    if isinstance(setting, tuple):
        return _listed(setting, depth)
    if isinstance(setting, str):
        rules = {"even": 0, "odd": 1}
        if setting not in rules:
            raise ConfigError("sites", *_unknown(setting, [*rules, "all"]))
        return tuple(i for i in range(1, depth) if i % 2 == rules[setting])
    if setting < 1:
        raise ConfigError("sites", f"sites={setting}", "every k-th layer needs a k of 1 or more")
    return tuple(range(setting, depth, setting))


def _unknown(setting: str, rules) -> tuple[str, str]:
    return f"sites={setting!r}", unknown_name("sites setting", setting, rules).reason


def _listed(layers: tuple[int, ...], depth: int) -> tuple[int, ...]:
    inside = all(0 <= layer < depth for layer in layers)
    if not inside or list(layers) != sorted(set(layers)):
        reason = f"list layers from 0 to {depth - 1}, each once, in increasing order"
        raise ConfigError("sites", f"sites={layers}", reason)
    return layers


@dataclass(frozen=True)
class _Solver:
    """One question: these settings, on this host, for this many tokens, at these blocks."""

    config: Reducer
    host: Host
    start: int
    blocks: tuple[int, ...]

    @property
    def largest(self) -> int:
        """The most that the first site can remove."""
        return max(0, self.config.limit(self.start - self.host.num_protected))

    def schedule(self, removals: Sequence[int]) -> Schedule:
        """Clamped schedule for one removal a site."""
        at = dict(zip(self.blocks, removals, strict=True))
        asked = [at.get(block, 0) for block in range(len(self.host.block_list()))]
        return Schedule.clamped(asked, self.start, self.host.num_protected, self.config.limit)

    def constant(self, r: int) -> Schedule:
        return self.schedule([r] * len(self.blocks))

    def all_constants(self) -> list[Schedule]:
        return [self.constant(r) for r in range(self.largest + 1)]

    def explicit(self, r: int | tuple[int, ...]) -> Schedule:
        removals = list(r) if isinstance(r, tuple) else [r] * len(self.blocks)
        if len(removals) != len(self.blocks):
            given = f"{len(removals)} numbers for {len(self.blocks)} sites"
            reason = f"give r one number for each of the {len(self.blocks)} sites, or one for all"
            raise ConfigError("r for each site", given, reason)
        first = next((r for r in removals if r), 0)
        if first > self.largest:
            given = f"r={first} of {self.start} tokens, {self.host.num_protected} of them protected"
            reason = f"the most that one step can remove there is r={self.largest}"
            raise ConfigError(f"{self.config.name}: r tokens fewer", given, reason)
        if self.config.final_tokens is not None:
            removals[-1] = 0
            removals[-1] = max(0, self.schedule(removals).final - self.config.final_tokens)
        return self.schedule(removals)

    def for_final(self, final: int) -> Schedule:
        for schedule in self.all_constants():
            if schedule.final <= final <= self.start:
                return self.schedule(_trim(schedule, self.blocks, final - schedule.final))
        least = self.constant(self.largest).final
        raise self._refusal("final_tokens", final, f"between {least} and {self.start} tokens")

    def for_ratio(self, ratio: float) -> Schedule:
        schedules = self.all_constants()
        if ratio > schedules[-1].ratio:
            raise self._refusal("ratio", ratio, f"a ratio of up to {schedules[-1].ratio:.4f}")
        return min(reversed(schedules), key=lambda schedule: abs(schedule.ratio - ratio))

    def for_gflops(self, target: float) -> Schedule:
        least = float("inf")
        for schedule in self.all_constants():
            reached = cost(self.config, schedule, self.host) / 1e9
            if reached <= target:
                return schedule
            least = min(least, reached)
        raise self._refusal("gflops", target, f"{least:.4g} GFLOPs or more")

    def _refusal(self, goal: str, value: float, possible: str) -> ConfigError:
        where = f"{goal}={value} with {len(self.blocks)} sites and {self.start} tokens"
        return ConfigError(f"{self.config.name}: {goal}", where, f"possible here: {possible}")


def _trim(schedule: Schedule, blocks: tuple[int, ...], excess: int) -> list[int]:
    """Removals a site with ``excess`` of them taken back, from the last site on."""
    removals = [schedule.removals[block] for block in blocks]
    for site in reversed(range(len(removals))):
        back = min(removals[site], excess)
        removals[site] -= back
        excess -= back
    return removals
