"""A small host with the block loop of the real ones, and the published FLOP formula."""

import math

import torch
from torch import nn

from rmeeto.errors import ConfigError
from rmeeto.tokens import TokenState


class FakeHost(nn.Module):
    """Blocks that add a fixed random map of the tokens; taps are slices of that update."""

    def __init__(
        self, depth=24, num_tokens=197, slots=(98,), width=8, per_layer=1, default_sites="even",
        counted_width=192,
    ):  # fmt: skip
        super().__init__()
        self.num_tokens, self.slots, self.num_protected = num_tokens, slots, len(slots)
        self.width, self.counted_width = width, counted_width
        self.sites = tuple(range(per_layer - 1, depth * per_layer, per_layer))
        self.default_sites = default_sites
        self.reduction = None
        self.asked = []
        maps = torch.randn(depth * per_layer, width, width, generator=_rng(7)) / width**0.5
        self.maps = nn.Parameter(maps)

    def block_list(self):
        return [lambda state, taps, i=i: self._block(i, state, taps) for i in range(len(self.maps))]

    def _block(self, i, state, taps):
        update = torch.tanh(state.tokens) @ self.maps[i]
        self.asked.append((i, taps))
        left = {name: update[..., : self.tap_width(name)] for name in taps}
        return TokenState(
            state.tokens + update, state.size, state.protected, state.start, state.plans, left
        )

    def embed(self, images, num_tokens=None):
        """``images`` is a list of seeds: one image a seed, whatever else is in the batch."""
        n = num_tokens or self.num_tokens
        tokens = torch.stack([torch.randn(n, self.width, generator=_rng(s)) for s in images])
        protected = torch.zeros(n, dtype=torch.bool)
        protected[list(self.slots)] = True
        return TokenState.begin(tokens, protected)

    def forward(self, images, num_tokens=None):
        state, taps, self.asked = self.embed(images, num_tokens), frozenset(), []
        for site, block in enumerate(self.block_list()):
            if self.reduction is not None:
                state = self.reduction(site, state)
                taps = self.reduction.taps_for(site, state.start)
            state = block(state, taps)
        return state

    def tap_width(self, tap):
        widths = {None: self.width, "update": self.width, "b": 4, "mixer_out": self.width}
        if tap not in widths:
            raise ConfigError(f"features {tap!r}", "the fake host", "use update or b")
        return widths[tap]

    def flops(self, tokens, merges=(), convention="paper"):
        """The counter behind the published GFLOPs, for Vim of ``counted_width`` channels."""
        c, ways = self.counted_width, 2 if convention == "full" else 1
        d, rank = 2 * c, math.ceil(c / 16)
        total = 197 * c * 768 + c * 1000
        for n in tokens:
            way = (n + 3) * d * 4 + n * d * (rank + 32) + n * rank * d + 9 * n * d * 16 + 2 * n * d
            total += 6 * n * c * c + ways * way
        return total + sum(6 * n * c + 2 * c * (n / 2) ** 2 + r * c for n, r, _ in merges)


def _rng(seed):
    return torch.Generator().manual_seed(seed)
