"""One selective scan: native kernels against torch loops, other packages' scans and the port limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from rmeeto.ops import dispatch

from .limits import MachineLimits
from .loops import Scan, steps_first_loop, unbind_loop
from .peers import compiled_loop, peer_scans
from .registry import Benchmark, Case, Limit, Work, no_limits
from .scan_work import Shape, backward, disagreement, forward, on_isa, ours, with_backward

Make = Callable[[Scan, Shape], Work]

EXP2 = 7  # vector instructions of an exponential: reduce, five FMAs, scale
FORWARD_INSTRUCTIONS = 1 + EXP2 + 1 + 2
BACKWARD_INSTRUCTIONS = FORWARD_INSTRUCTIONS + (1 + EXP2) + 8
COUNTED = {
    FORWARD_INSTRUCTIONS: f"1 dt·A + {EXP2} exp2 + 1 dt·x·B + 2 FMAs into h and y",
    BACKWARD_INSTRUCTIONS: f"{FORWARD_INSTRUCTIONS} to get the states again + {1 + EXP2} for the decay "
    "+ 8 (q, dC, dB, carry, g, dA, Σ q·B, Σ g·A)",
}
"""How the instructions are counted, from csrc/scan_forward.h and scan_backward.h."""


def limits_of(shape: Shape, instructions: int, machine: MachineLimits) -> list[Limit]:
    """Vector instructions on the ports that do FMAs; forward also the same work in the L1 cache."""
    if machine.isa != "avx512":
        return []  # instructions are counted for AVX-512 only
    rate = machine.fma_gflops / 32  # instructions a nanosecond
    port = f"{COUNTED[instructions]} = {instructions} vector instructions for 16 states, {rate:.2f} a ns"
    found = [Limit("port limit", shape.elements * instructions / 16 / rate * 1e-9, port)]
    if instructions == FORWARD_INSTRUCTIONS:
        text = f"{machine.composite_ns:.4f} ns a state measured with all rows in L1"
        composite = shape.elements * machine.composite_ns * 1e-9
        found.append(Limit("in-L1 composite", composite, text))
        moved = shape.moved / machine.read_gbs["L3"] * 1e-9
        more = f"that, and {shape.moved / 2**20:.1f} MiB of u, delta, z and out through the last-level cache"
        found.append(Limit("composite and its rows", composite + moved, more))
    return found


def _limits(make: Make, shape: Shape) -> Callable[[MachineLimits], list[Limit]]:
    counted = {forward: FORWARD_INSTRUCTIONS, backward: BACKWARD_INSTRUCTIONS}
    return partial(limits_of, shape, counted[make]) if make in counted else no_limits


def case(make: Make, shape: Shape, peers: bool = False, isas: bool = False) -> Case:
    """Native against the loops, optionally other packages' scans and lower instruction sets."""
    scans = {"unbind loop": unbind_loop, "native": ours("native")}
    skipped: dict[str, str] = {}
    if peers:
        found, skipped = peer_scans()
        scans |= {"unbind, steps first": steps_first_loop, "torch": ours("torch"), **found}

    def works(make: Make) -> dict[str, Work]:
        made = {label: make(scan, shape) for label, scan in scans.items()}
        native = dispatch.native()
        others = set(native.available_isas()) - {native.isa()} if isas else ()
        for isa in sorted(others):
            made[f"native {isa}"] = on_isa(isa, make(scans["native"], shape))
        return made

    return Case(
        candidates=works(make),
        ours="native",
        units=shape.elements,
        unit="states",
        limits=_limits(make, shape),
        error=lambda: disagreement(works(with_backward).values(), shape),
        tolerance=1e-4 if shape.dtype == "fp32" else 3e-2,
        skipped=skipped,
    )


def backward_case(shape: Shape) -> Case:
    """The native backward alone; the baseline is the native forward."""
    scan = ours("native")
    return Case(
        candidates={
            "native forward": forward(scan, shape),
            "native backward": backward(scan, shape),
        },
        ours="native backward",
        units=shape.elements,
        unit="states",
        limits=_limits(backward, shape),
    )


def compiled_case(shape: Shape) -> Case:
    """`torch.compile` of the loop; setting up does not compile, the first call does."""
    scans = {"unbind loop": unbind_loop, "torch.compile": compiled_loop(), "native": ours("native")}
    candidates = {label: forward(scan, shape) for label, scan in scans.items()}
    return Case(candidates, "native", shape.elements, "states", _limits(forward, shape))


def call_case(shape: Shape) -> Case:
    """What a call costs before any state is computed: one step, with warm caches and after a whole scan."""
    whole = forward(ours("native"), shape)
    step = forward(ours("native"), replace(shape, length=1))

    def both() -> None:
        whole()
        step()

    candidates = {"whole scan": whole, "one step": step, "whole scan, then one step": both}
    return Case(candidates, "whole scan", 1, "calls")


LONG = (50, 785, 1601, 4096)
"""Steps besides 197: a micro model's, and images of 448, 640 and 1024 pixels."""


def benchmarks() -> Iterator[Benchmark]:
    """The registry's part: the main shape in full, then batches, lengths, types and states."""
    main = Shape(8, 197, 384, 16)
    works: dict[str, Make] = {"forward": forward, "forward+backward": with_backward}
    yield Benchmark(
        f"scan/forward/{main}", partial(case, forward, main, True, True), 14, quick=True
    )
    yield Benchmark(
        f"scan/forward+backward/{main}", partial(case, with_backward, main, True, True), 25
    )
    yield Benchmark(f"scan/backward/{main}", partial(backward_case, main), 3, quick=True)
    yield Benchmark(f"scan/call/{main}", partial(call_case, main), 4)
    for work, make in works.items():
        yield Benchmark(f"scan/{work}/{main}/2 threads", partial(case, make, main), 6, threads=2)
    shapes = [Shape(1, 197, 384, 16), Shape(32, 197, 384, 16), Shape(8, 197, 384, 16, "bf16")]
    shapes += [Shape(1, length, 384, 16) for length in LONG]
    shapes += [Shape(8, 197, 128, 8), Shape(8, 197, 384, 1)]
    for shape in shapes:
        for work, make in works.items():
            slow = shape.elements / 2e6 * (1 if make is forward else 2)
            yield Benchmark(f"scan/{work}/{shape}", partial(case, make, shape), 4 + slow)
        yield Benchmark(f"scan/backward/{shape}", partial(backward_case, shape), 2)
    short = Shape(1, 50, 384, 16)
    yield Benchmark(f"scan/compiled/{short}", partial(compiled_case, short), 45)
