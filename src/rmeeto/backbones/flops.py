"""How many multiply-adds each part of a backbone takes, in the two named conventions.

A multiply and the add after it count as one. "paper" reproduces the published numbers, which
count one of the two scan directions; "full" counts both, that is the convolution, the small
projections and the scan twice. They differ for Vision Mamba only.
"""

from __future__ import annotations

from ..errors import ConfigError

CONVENTIONS = ("paper", "full")


def check_convention(convention: str) -> None:
    """Raise `ConfigError` unless ``convention`` is "paper" or "full"."""
    if convention not in CONVENTIONS:
        known = " or ".join(CONVENTIONS)
        raise ConfigError("FLOPs by a convention", repr(convention), f"use {known}")


def linear(tokens: int, inputs: int, outputs: int) -> float:
    """N·I·O multiply-adds of a projection."""
    return float(tokens * inputs * outputs)


def mamba(tokens: int, dim: int, state: int, dt_rank: int, convention: str) -> float:
    """One scan block: 6NC² + ways · [8C(N+3) + 2NC(R+2S) + 2NCR + 18NCS + 4NC].

    In turn: the input and output projections, and for each way the convolution of width 4, the
    projection to (dt, B, C), dt up to the inner width 2C, the scan (9 a state), and skip and gate.

    Args:
        tokens: N.
        dim: C.
        state: S.
        dt_rank: R.
        convention: "paper" counts one way, "full" two.

    Source: the counter behind R-MeeTo's published GFLOPs (arXiv 2412.12496, tables 1 and 2).
    """
    inner = 2 * dim
    way = (tokens + 3) * inner * 4
    way += tokens * inner * (dt_rank + 2 * state) + tokens * dt_rank * inner
    way += 9 * tokens * inner * state + 2 * tokens * inner
    ways = 2 if convention == "full" else 1
    return float(6 * tokens * dim**2 + ways * way)


def attention(tokens: int, dim: int) -> float:
    """One attention block: 4NC² for the projections, 2N²C for scores and averages."""
    return float(4 * tokens * dim**2 + 2 * tokens**2 * dim)


def mlp(tokens: int, dim: int, hidden: int) -> float:
    """One feed-forward block: 2NCH."""
    return float(2 * tokens * dim * hidden)


def merge(tokens: int, removed: int, width: int) -> float:
    """One bipartite step: 6NF + 2F(N/2)² + rF.

    In turn: features normed, all pairs compared, and ``removed`` tokens added to others.

    Args:
        tokens: N, before the step.
        removed: r.
        width: F, of the features that are matched.

    Source: as `mamba`.
    """
    return 6.0 * tokens * width + 2 * width * (tokens / 2) ** 2 + removed * width
