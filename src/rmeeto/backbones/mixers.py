"""What mixes the tokens of a block: the two-way selective scan of Vision Mamba."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .. import ops
from ..ops.bidirectional_mamba import Direction, Features
from ..ops.mamba_block import BlockWeights, fused_block, worth_asking
from .blocks import NO_TAPS, Linear, RMSNorm, plain

_SCAN_TAPS = frozenset({"b", "c", "delta"})  # features of the insides of a scan
_BLOCK_TAPS = _SCAN_TAPS | {"update"}  # what the kernel of a whole block hands out


class BidirectionalMamba(nn.Module):
    """Scan the tokens forwards and backwards with own parameters, gate, combine and project.

    For X (B, N, C): (x, z) = X·W_in; for each direction
    u = SiLU(conv(x)), (dt, B, C) = u·W_x, Δ = softplus(dt·W_dt + b_dt),
    h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = (⟨h_t, C_t⟩ + D u_t) · SiLU(z_t);
    output = (y_forward + y_backward) · scale · W_out, where A = −exp(A_log).

    Args:
        dim: C, width of the stream; the inner width D is 2C.
        d_state: S, states a channel.
        average: halve the sum of the directions (Vim) or not (VideoMamba).

    Source: Zhu et al. 2024, Vision Mamba, algorithm 1; differs in: the sum is halved before the
    output projection, as in every published checkpoint, and the backward direction is a reverse
    scan, so nothing is flipped.
    """

    TAPS = frozenset({"b", "c", "delta", "mixer_out"})
    D_CONV, EXPAND, DT_PER = 4, 2, 16

    conv1d: nn.Conv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    A_log: nn.Parameter
    D: nn.Parameter
    conv1d_b: nn.Conv1d
    x_proj_b: nn.Linear
    dt_proj_b: nn.Linear
    A_b_log: nn.Parameter
    D_b: nn.Parameter

    def __init__(self, dim: int, d_state: int, average: bool) -> None:
        super().__init__()
        self.d_state, self.dt_rank = d_state, self.dt_rank_of(dim)
        self.scale = 0.5 if average else 1.0
        inner = self.EXPAND * dim
        self.in_proj = Linear(dim, 2 * inner, bias=False)
        self.out_proj = Linear(inner, dim, bias=False)
        for suffix in ("", "_b"):
            conv = nn.Conv1d(inner, inner, self.D_CONV, groups=inner)
            width = self.dt_rank + 2 * d_state
            self.add_module(f"conv1d{suffix}", conv)
            self.add_module(f"x_proj{suffix}", nn.Linear(inner, width, bias=False))
            self.add_module(f"dt_proj{suffix}", nn.Linear(self.dt_rank, inner))
            self.register_parameter(f"A{suffix}_log", nn.Parameter(torch.empty(inner, d_state)))
            self.register_parameter(f"D{suffix}", nn.Parameter(torch.empty(inner)))

    @classmethod
    def dt_rank_of(cls, dim: int) -> int:
        """R = ⌈C / 16⌉, width from which the step sizes are projected."""
        return -(-dim // cls.DT_PER)

    def direction(self, reverse: bool) -> Direction:
        """Forward (no suffix) or backward (``_b``) parameters."""
        if reverse:
            conv, x_proj, dt_proj = self.conv1d_b, self.x_proj_b, self.dt_proj_b
            A_log, D = self.A_b_log, self.D_b
        else:
            conv, x_proj, dt_proj = self.conv1d, self.x_proj, self.dt_proj
            A_log, D = self.A_log, self.D
        projections = x_proj.weight, dt_proj.weight, dt_proj.bias
        return Direction(conv.weight, cast(Tensor, conv.bias), *projections, A_log, D)

    def forward(
        self, tokens: Tensor, size: Tensor | None = None, taps: frozenset[str] = NO_TAPS
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mix (B, N, C) tokens.

        Args:
            tokens: normed, in the compute type.
            size: ignored; the scan does not weigh tokens by size.
            taps: of "b", "c" (B, N, S), "delta" (B, N, D; before bias and softplus) and
                "mixer_out" (B, N, D; gated, before the output projection), all combined over the
                directions like the output.

        Returns:
            update (B, N, C) in the compute type, features by tap name.
        """
        xz = self.in_proj(tokens)
        mixed, pairs = ops.bidirectional_mamba(xz, *self._ways(), features=taps & _SCAN_TAPS)
        features = self._combined(pairs)
        if "mixer_out" in taps:
            features["mixer_out"] = self.scale * mixed
        return self._project(mixed), features

    def whole_block(
        self, norm: nn.Module, tokens: Tensor, taps: frozenset[str]
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """tokens + self(norm(tokens)) and the features, if one kernel can do it all, else None.

        It can't where a gradient is wanted, where somebody hooked into the modules or exchanged
        them, or for features that it does not keep.
        """
        if type(norm) is not RMSNorm or type(self) is not BidirectionalMamba:
            return None
        projections = self.in_proj, self.out_proj
        if any(type(p) is not Linear for p in projections) or not taps <= _BLOCK_TAPS:
            return None
        if not worth_asking(self.in_proj.weight, self.out_proj.weight):
            return None
        if not all(map(plain, (norm, self, *projections))):
            return None
        weights = BlockWeights(norm.weight, self.in_proj.weight, self.out_proj.weight)
        settings = norm.eps, self.scale, taps & _SCAN_TAPS, "update" in taps
        found = fused_block(tokens, weights, *self._ways(), *settings)
        if found is None:
            return None
        out, pairs, update = found
        return out, self._combined(pairs) | ({"update": update} if "update" in taps else {})

    def _project(self, mixed: Tensor) -> Tensor:
        if self.scale == 1:
            return self.out_proj(mixed)
        if type(self.out_proj) is not Linear or not plain(self.out_proj):
            return self.out_proj(self.scale * mixed)
        # The halving goes into the small weight: the same to the last bit, one pass less.
        return ops.linear(mixed, self.scale * self.out_proj.weight)

    def _ways(self) -> tuple[Direction, Direction]:
        return self.direction(reverse=False), self.direction(reverse=True)

    def _combined(self, pairs: Features) -> dict[str, Tensor]:
        return {name: self.scale * (ahead + back) for name, (ahead, back) in pairs.items()}
