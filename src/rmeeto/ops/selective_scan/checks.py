"""What the arguments of the selective scan must look like."""

from __future__ import annotations

from torch import Tensor

from ...errors import ShapeError


def check(u, delta, A, B, C, D, z, delta_bias) -> None:
    """Raise `ShapeError` unless the shapes fit together."""
    if u.ndim != 3:
        raise _misfit("u of shape (B, D, L)", "u", u)
    batch, channels, length = u.shape
    for name, x in (("u", u), ("delta", delta), ("A", A), ("B", B), ("C", C)):
        if not x.is_floating_point():
            raise ShapeError(
                f"selective_scan with a real floating-point {name}",
                f"{name} of type {x.dtype}",
                "only real state-space models are implemented; Mamba's default is a real float32 A",
            )
    if A.ndim != 2 or A.shape[0] != channels:
        raise _misfit(f"A of shape (D, S) with D = {channels}", "A", A)
    for name, x in (("delta", delta), ("z", z)):
        if x is not None and x.shape != u.shape:
            raise _misfit(f"{name} shaped like u, {tuple(u.shape)}", name, x)
    for name, x in (("D", D), ("delta_bias", delta_bias)):
        if x is not None and x.shape != (channels,):
            raise _misfit(f"{name} of shape ({channels},)", name, x)
    groups = [
        _check_states(name, m, batch, channels, A.shape[1], length)
        for name, m in (("B", B), ("C", C))
    ]
    if None not in groups and groups[0] != groups[1]:
        raise _misfit(f"C with as many groups as B, {groups[0]}", "C", C)


def _check_states(
    name: str, m: Tensor, batch: int, channels: int, states: int, length: int
) -> int | None:
    """Groups of B or C (None if constant); raises if the shape is none of the three."""
    if m.ndim == 2 and m.shape == (channels, states):
        return None
    if m.ndim == 3 and m.shape == (batch, states, length):
        return 1
    if m.ndim == 4 and (m.shape[0], m.shape[2], m.shape[3]) == (batch, states, length):
        groups = m.shape[1]
        if groups > 0 and channels % groups == 0:
            return groups
    forms = (
        f"({channels}, {states}), ({batch}, {states}, {length}) or ({batch}, G, {states}, {length})"
    )
    raise _misfit(f"{name} of shape {forms} with G dividing {channels}", name, m)


def _misfit(asked: str, name: str, x: Tensor) -> ShapeError:
    return ShapeError(
        f"selective_scan with {asked}",
        f"{name} of shape {tuple(x.shape)}",
        "D channels, S states, L steps must agree in all inputs; activations are (B, D, L), not (B, L, D)",
    )
