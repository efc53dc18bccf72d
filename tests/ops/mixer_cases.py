"""Random parameters of both scan directions, for the tests of the mixer and of whole blocks."""

import torch

from rmeeto.ops.bidirectional_mamba import Direction


class Draw:
    """Normal numbers from one seed, in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, scale, *shape):
        return scale * torch.randn(*shape, generator=self.generator)

    def direction(self, channels, states, rank, taps=4):
        decay = 0.5 + 8 * torch.rand(channels, states, generator=self.generator)
        return Direction(
            self.normal(0.5, channels, 1, taps),
            self.normal(0.1, channels),
            self.normal(channels**-0.5, rank + 2 * states, channels),
            self.normal(0.3, channels, rank),
            self.normal(1.0, channels) - 2,
            decay.log(),
            self.normal(1.0, channels),
        )
