"""The selective scan for GPUs: one Triton program scans 32 channels of one image, one channel a thread.

The state is a tuple of N vectors, one number a thread in each: a step needs no exchange between threads
and no barrier. Only gradients of B and C, which sum over channels, do. Everything is computed in float32.
"""

# Triton compiles no (*a, b), only a + (b,); and pyright takes what it compiles for Python.
# ruff: noqa: RUF005
# pyright: reportMissingImports=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false
from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl


class Rows(NamedTuple):
    """A (B,D,L) tensor with stride 1 over D: pointer, and strides of an image and a step."""

    data: object
    image: int
    step: int


class States(NamedTuple):
    """Numbers with a state axis: pointer, and strides (0 where the numbers do not depend on an axis)."""

    data: object
    image: int
    group: int
    channel: int
    state: int
    step: int


# ---- addresses


@triton.jit
def _place(channels, groups, BLOCK: tl.constexpr):
    """What this program scans: (image, group, channels), which channels exist, and the block's number."""
    size = channels // groups
    blocks = tl.cdiv(size, BLOCK)
    program = tl.program_id(0)
    block = program % blocks
    group = (program // blocks) % groups
    image = (program // (blocks * groups)).to(tl.int64)
    inside = block * BLOCK + tl.arange(0, BLOCK)
    return (image, group, group * size + inside), inside < size, block


@triton.jit
def _token(i, length, REVERSE: tl.constexpr):
    """The token that the i-th step of the scan reads; 64 bits, for it is multiplied with strides."""
    return tl.cast(length - 1 - i if REVERSE else i, tl.int64)


@triton.jit
def _row(x, at, t):
    return x.data + at[0] * x.image + at[2] + t * x.step


@triton.jit
def _state(m, at, t):
    """Pointer to the first state."""
    return m.data + at[0] * m.image + at[1] * m.group + at[2] * m.channel + t * m.step


@triton.jit
def _read(pointer, mask):
    return tl.load(pointer, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _read_states(pointer, stride, mask, N: tl.constexpr):
    values = ()
    for n in tl.static_range(N):
        values = values + (_read(pointer + n * stride, mask),)
    return values


@triton.jit
def _write_states(values, pointer, stride, mask, N: tl.constexpr):
    for n in tl.static_range(N):
        tl.store(pointer + n * stride, values[n], mask=mask)


@triton.jit
def _no_states(N: tl.constexpr, BLOCK: tl.constexpr):
    values = ()
    for _ in tl.static_range(N):
        values = values + (tl.zeros((BLOCK,), tl.float32),)
    return values


@triton.jit
def _add_to(pointer, value, mask, ACCUMULATE: tl.constexpr):
    """Store, or add to what the states of an earlier launch gave."""
    if ACCUMULATE:
        value += _read(pointer, mask)
    tl.store(pointer, value, mask=mask)


# ---- a step


@triton.jit
def _sigmoid(x):
    e = tl.exp(-tl.abs(x))  # never overflows
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def _step_size(raw, SOFTPLUS: tl.constexpr):
    """The step size and its derivative; the softplus turns linear above 20, as torch's does."""
    size = raw
    slope = tl.full(raw.shape, 1.0, tl.float32)
    if SOFTPLUS:
        e = tl.exp(tl.where(raw > 20.0, 0.0, raw))
        one = 1.0 + e
        # log(1 + e): the second factor corrects for what 1 + e rounded off.
        exact = tl.log(one) * (e / tl.where(one == 1.0, 1.0, one - 1.0))
        size = tl.where(raw > 20.0, raw, tl.where(one == 1.0, e, exact))
        slope = _sigmoid(raw)
    return size, slope


@triton.jit
def _rates(A, at, mask, N: tl.constexpr):
    """A / log 2: exponentials to the base 2 are what the hardware has."""
    values = ()
    for n in tl.static_range(N):
        values = values + (_read(_state(A, at, 0) + n * A.state, mask) * 1.4426950408889634,)
    return values


@triton.jit
def _shift(bias, at, mask, BLOCK: tl.constexpr):
    shift = tl.zeros((BLOCK,), tl.float32)
    if bias is not None:
        shift = _read(bias + at[2], mask)
    return shift


@triton.jit
def _advance(h, rate, shift, u, delta, B, at, t, mask, N: tl.constexpr, SOFTPLUS: tl.constexpr):
    """The state after token t, and the input there."""
    x = _read(_row(u, at, t), mask)
    dt, _ = _step_size(_read(_row(delta, at, t), mask) + shift, SOFTPLUS)
    b = _state(B, at, t)
    values = ()
    for n in tl.static_range(N):
        new = tl.exp2(dt * rate[n]) * h[n] + dt * x * _read(b + n * B.state, mask)
        values = values + (new,)
    return values, x


# ---- forward


@triton.jit(do_not_specialize=["length"])
def scan_forward(
    u, delta, A, B, C, D, z, bias, out, last, length, channels, groups,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, ACCUMULATE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Scan into ``out``, and into ``last`` if there is one.

    Args:
        u, delta, z, out: `Rows`; z may be None.
        A, B, C, last: `States`, N of them; last may be None.
        D, bias: pointers to one float32 a channel, or None.
        ACCUMULATE: add to out, for states beyond those of an earlier launch.
    """
    at, mask, _ = _place(channels, groups, BLOCK)
    rate = _rates(A, at, mask, N)
    shift = _shift(bias, at, mask, BLOCK)
    h = _no_states(N, BLOCK)
    for i in range(length):
        t = _token(i, length, REVERSE)
        h, x = _advance(h, rate, shift, u, delta, B, at, t, mask, N, SOFTPLUS)
        y = tl.zeros((BLOCK,), tl.float32)
        for n in tl.static_range(N):
            y += h[n] * _read(_state(C, at, t) + n * C.state, mask)
        if D is not None:
            y += _read(D + at[2], mask) * x
        if z is not None:
            gate = _read(_row(z, at, t), mask)
            y *= gate * _sigmoid(gate)
        _add_to(_row(out, at, t), y, mask, ACCUMULATE)
    if last is not None:
        _write_states(h, _state(last, at, 0), last.state, mask, N)


# ---- backward


@triton.jit
def _back_states(
    h, before, later, rate, dt, x, gy, B, C, dB, dC, at, parts, t, mask, sums,
    N: tl.constexpr, B_CONSTANT: tl.constexpr, C_CONSTANT: tl.constexpr,
):  # fmt: skip
    """Gradients through h = decay · before + dt · x · B and y = ⟨h, C⟩ at token t.

    ``later`` is the gradient of h from the tokens after t. Returns that of ``before``, the summed gradients
    of A, B and C, y itself, and Σ g·B and Σ g·decay·before·A for the gradients of x and dt.
    """
    back, sum_A, sum_B, sum_C = (), (), (), ()
    y, from_input, from_decay = gy * 0.0, gy * 0.0, gy * 0.0
    for n in tl.static_range(N):
        b = _read(_state(B, at, t) + n * B.state, mask)
        c = _read(_state(C, at, t) + n * C.state, mask)
        decay = tl.exp2(dt * rate[n])
        g = later[n] + gy * c
        y += h[n] * c
        from_input += g * b
        from_decay += g * decay * before[n] * rate[n]
        back = back + (g * decay,)
        sum_A = sum_A + (sums[0][n] + g * decay * before[n] * dt,)
        if B_CONSTANT:
            sum_B = sum_B + (sums[1][n] + g * dt * x,)
        else:
            tl.store(_state(dB, parts, t) + n * dB.state, tl.sum(g * dt * x, 0))
        if C_CONSTANT:
            sum_C = sum_C + (sums[2][n] + gy * h[n],)
        else:
            tl.store(_state(dC, parts, t) + n * dC.state, tl.sum(gy * h[n], 0))
    # The rates are in units of log 2, and so is the sum over them.
    return back, (sum_A, sum_B, sum_C), y, from_input, from_decay * 0.6931471805599453


@triton.jit
def _back(
    h, before, later, rate, shift, grad, u, delta, B, C, D, z, du, ddelta, dB, dC, dz, at, parts, t, mask,
    sums, sum_D, sum_bias, N: tl.constexpr, SOFTPLUS: tl.constexpr, ACCUMULATE: tl.constexpr,
    B_CONSTANT: tl.constexpr, C_CONSTANT: tl.constexpr,
):  # fmt: skip
    """Gradients of token t, from the states after and before it."""
    x = _read(_row(u, at, t), mask)
    dt, slope = _step_size(_read(_row(delta, at, t), mask) + shift, SOFTPLUS)
    gy = _read(_row(grad, at, t), mask)
    gz = gy
    if z is not None:
        gate = _read(_row(z, at, t), mask)
        open_ = _sigmoid(gate)
        gz = gy * open_ * (1.0 + gate * (1.0 - open_))
        gy = gy * gate * open_
    later, sums, y, from_input, from_decay = _back_states(
        h, before, later, rate, dt, x, gy, B, C, dB, dC, at, parts, t, mask, sums,
        N, B_CONSTANT, C_CONSTANT,
    )  # fmt: skip
    gx = dt * from_input
    gdt = (from_decay + x * from_input) * slope
    if D is not None:
        skip = _read(D + at[2], mask)
        gx += skip * gy
        y += skip * x
        sum_D += gy * x
    sum_bias += gdt
    _add_to(_row(du, at, t), gx, mask, ACCUMULATE)
    _add_to(_row(ddelta, at, t), gdt, mask, ACCUMULATE)
    if z is not None:
        _add_to(_row(dz, at, t), gz * y, mask, ACCUMULATE)
    return later, sums, sum_D, sum_bias


@triton.jit
def _checkpoint(
    rate, shift, u, delta, B, at, mask, slots, length, every,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Store the state before every ``every``-th step; returns the number of such segments."""
    segments = tl.cdiv(length, every)
    h = _no_states(N, BLOCK)
    _write_states(h, slots, BLOCK, mask, N)
    for segment in range(1, segments):
        for i in range((segment - 1) * every, segment * every):
            t = _token(i, length, REVERSE)
            h, _ = _advance(h, rate, shift, u, delta, B, at, t, mask, N, SOFTPLUS)
        _write_states(h, slots + segment * N * BLOCK, BLOCK, mask, N)
    return segments


@triton.jit(do_not_specialize=["length", "every"])
def scan_backward(
    grad, u, delta, A, B, C, D, z, bias, du, ddelta, dA, dB, dC, dD, dz, dbias, scratch,
    length, every, channels, groups,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, ACCUMULATE: tl.constexpr,
    B_CONSTANT: tl.constexpr, C_CONSTANT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of all inputs, from states that are computed again between checkpoints.

    Args:
        grad, u, delta, z, du, ddelta, dz: `Rows`; z and dz may be None.
        A, B, C: `States`, N of them.
        D, bias: pointers to one float32 a channel, or None.
        dA, dD, dbias: `States` and `Rows` of float32 with one part of the sum for each image.
        dB, dC: if constant, likewise; else one part for each block of channels, whose number takes the
            place of the channel.
        scratch: float32, (ceil(length / every) + every) · N · BLOCK of them for each program.
        ACCUMULATE: add to du, ddelta, dz and dbias, for states beyond those of an earlier launch.
    """
    at, mask, block = _place(channels, groups, BLOCK)
    parts = (at[0], at[1], block)
    rate = _rates(A, at, mask, N)
    shift = _shift(bias, at, mask, BLOCK)
    size = (tl.cdiv(length, every) + every) * N * BLOCK
    slots = scratch + tl.program_id(0).to(tl.int64) * size + tl.arange(0, BLOCK)
    segments = _checkpoint(
        rate, shift, u, delta, B, at, mask, slots, length, every, N, SOFTPLUS, REVERSE, BLOCK
    )
    states = slots + segments * N * BLOCK
    later = _no_states(N, BLOCK)
    sums = (
        _no_states(N, BLOCK),
        _no_states(N if B_CONSTANT else 0, BLOCK),
        _no_states(N if C_CONSTANT else 0, BLOCK),
    )
    sum_D = tl.zeros((BLOCK,), tl.float32)
    sum_bias = tl.zeros((BLOCK,), tl.float32)
    for past in range(segments):
        first = (segments - 1 - past) * every
        count = tl.minimum(every, length - first)
        h = _read_states(slots + (segments - 1 - past) * N * BLOCK, BLOCK, mask, N)
        for i in range(count):
            _write_states(h, states + i * N * BLOCK, BLOCK, mask, N)
            t = _token(first + i, length, REVERSE)
            h, _ = _advance(h, rate, shift, u, delta, B, at, t, mask, N, SOFTPLUS)
        tl.debug_barrier()  # states may be read by other threads than wrote them
        for i in range(count):
            before = _read_states(states + (count - 1 - i) * N * BLOCK, BLOCK, mask, N)
            t = _token(first + count - 1 - i, length, REVERSE)
            later, sums, sum_D, sum_bias = _back(
                h, before, later, rate, shift, grad, u, delta, B, C, D, z, du, ddelta, dB, dC, dz,
                at, parts, t, mask, sums, sum_D, sum_bias,
                N, SOFTPLUS, ACCUMULATE, B_CONSTANT, C_CONSTANT,
            )  # fmt: skip
            h = before
        tl.debug_barrier()
    _write_states(sums[0], _state(dA, at, 0), dA.state, mask, N)
    if B_CONSTANT:
        _write_states(sums[1], _state(dB, at, 0), dB.state, mask, N)
    if C_CONSTANT:
        _write_states(sums[2], _state(dC, at, 0), dC.state, mask, N)
    if D is not None:
        tl.store(_row(dD, at, 0), sum_D, mask=mask)
    if bias is not None:
        _add_to(_row(dbias, at, 0), sum_bias, mask, ACCUMULATE)
