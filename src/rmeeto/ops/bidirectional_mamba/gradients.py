"""The gradients of one direction's weights, summed over chunks of images in their order."""

from __future__ import annotations

import torch
from torch import Tensor


class GradientSums:
    """Memory for a chunk's gradients, which the kernels overwrite, and the sums over chunks.

    Args:
        way: the direction's weights as the kernels read them.

    Attributes:
        conv_weight, conv_bias, dt_bias, A, D: float32 memory for the gradients of one chunk.
    """

    def __init__(self, way) -> None:
        self._A = way.A
        shared = way.conv_weight, way.conv_bias, way.dt_bias, way.A, way.D
        # One block of memory: a chunk is added to the sum by a single op.
        self._chunk = way.A.new_empty(sum(w.numel() for w in shared))
        self._sum = torch.zeros_like(self._chunk)
        self._shapes = [w.shape for w in shared]
        parts = self._cut(self._chunk)
        self.conv_weight, self.conv_bias, self.dt_bias, self.A, self.D = parts
        self._x_proj, self._dt_proj = (
            torch.zeros_like(w, dtype=torch.float32) for w in (way.x_proj, way.dt_proj)
        )

    def _cut(self, block: Tensor) -> list[Tensor]:
        parts = block.split([shape.numel() for shape in self._shapes])
        return [p.view(shape) for p, shape in zip(parts, self._shapes, strict=True)]

    def add_chunk(self) -> None:
        """Add what the kernels left."""
        self._sum += self._chunk

    def add_projections(
        self, d_projected: Tensor, u: Tensor, d_delta: Tensor, low_rank: Tensor
    ) -> None:
        """Add a chunk's products: (T,R+2S)ᵀ·(T,D) to the first projection, (T,D)ᵀ·(T,R) to dt's."""
        _add_product(self._x_proj, d_projected, u)
        _add_product(self._dt_proj, d_delta, low_rank)

    def results(self, parameters: list[Tensor]) -> list[Tensor]:
        """The gradients in the order, shapes and types of the parameters."""
        conv_weight, conv_bias, dt_bias, A, D = self._cut(self._sum)
        d_log = A * self._A  # A = -exp(A_log) is its own derivative
        found = conv_weight, conv_bias, self._x_proj, self._dt_proj, dt_bias, d_log, D
        pairs = zip(found, parameters, strict=True)
        # A result of an op may not share memory with another.
        return [g.reshape(p.shape).to(p.dtype, copy=True) for g, p in pairs]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if left.dtype == total.dtype:
        total.addmm_(left.t(), right)
    else:
        total += left.t() @ right
