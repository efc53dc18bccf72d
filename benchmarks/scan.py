"""Speed of one selective scan, forward and with its backward: native kernels against torch loops.

All candidates take turns. The baseline is the usual torch loop, in mamba-ssm's own layout (images, channels,
steps, states): decays and inputs of all steps computed at once, unbound, then one step after the other.
"unbind, steps first" is the same loop in the layout that suits it better. "torch" is this package's own
torch body, which computes each step when its turn comes. A ratio is printed only if all agree on output and gradients.

    python benchmarks/scan.py --shapes 8x197x384x16 --threads 1 --cpu-time
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from rmeeto import ops
from rmeeto.config import to_dict
from rmeeto.ops import dispatch
from rmeeto.profiling import SpeedResult, Stop, compare_speed
from rmeeto.storage import write_atomic

Scan = Callable[..., Tensor]
BASELINE = "unbind loop"


@dataclass(frozen=True)
class Shape:
    """Images × steps × channels × states, with Mamba's usual step sizes and decays."""

    batch: int
    length: int
    channels: int
    states: int
    dtype: str = "float32"
    seed: int = 0

    @property
    def name(self) -> str:
        """What a record says about the input."""
        sizes = f"{self.batch}x{self.length}x{self.channels}x{self.states}"
        return f"scan {sizes}, {self.dtype}, seed {self.seed}"

    def __call__(self, batch: int) -> Tensor:
        return torch.zeros(batch, 1)  # the real inputs are fixed, see `inputs`

    def inputs(self) -> tuple[list[Tensor], Tensor]:
        """Arguments of `ops.selective_scan` in order, D, z and delta_bias included; dLoss/d(out)."""
        generator = torch.Generator().manual_seed(self.seed)
        dtype = getattr(torch, self.dtype)

        def rows(width: int) -> Tensor:
            x = torch.randn(self.batch, self.length, width, generator=generator)
            return x.to(dtype).transpose(1, 2)

        decay = -torch.arange(1.0, self.states + 1).repeat(self.channels, 1)
        step = torch.rand(self.channels, generator=generator) * 4 - 6  # softplus: 0.002 … 0.13
        u, delta, B, C, z = (
            rows(w) for w in (self.channels, self.channels, self.states, self.states, self.channels)
        )
        return [u, delta, decay, B, C, torch.ones(self.channels), z, step], rows(self.channels)


def unbind_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """The baseline."""
    x, step = u.float(), F.softplus(delta.float() + bias[:, None])
    decays = torch.exp(torch.einsum("bdl,dn->bdln", step, A)).unbind(2)
    enters = torch.einsum("bdl,bnl,bdl->bdln", step, B.float(), x).unbind(2)
    h, ys = torch.zeros_like(enters[0]), []
    for decay, enter, leave in zip(decays, enters, C.float().unbind(2), strict=True):
        h = decay * h + enter
        ys.append(torch.einsum("bdn,bn->bd", h, leave))
    y = (torch.stack(ys, 2) + x * D[:, None]) * F.silu(z.float())
    return y.to(u.dtype)


def steps_first_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """The same loop with the steps before the channels, so that every step is one block of memory."""
    x, step = u.float().transpose(1, 2), F.softplus(delta.float().transpose(1, 2) + bias)
    decays = torch.exp(step.unsqueeze(-1) * A).unbind(1)
    enters = ((step * x).unsqueeze(-1) * B.float().transpose(1, 2).unsqueeze(2)).unbind(1)
    leaves = C.float().transpose(1, 2).unsqueeze(2).unbind(1)
    h, ys = torch.zeros_like(enters[0]), []
    for decay, enter, leave in zip(decays, enters, leaves, strict=True):
        h = decay * h + enter
        ys.append((h * leave).sum(-1))
    y = (torch.stack(ys, 1) + x * D) * F.silu(z.float().transpose(1, 2))
    return y.to(u.dtype).transpose(1, 2)


def ours(backend: str, isa: str = "") -> Scan:
    """`ops.selective_scan` on one backend and instruction set."""

    def scan(*inputs: Tensor) -> Tensor:
        if isa:
            dispatch.native().set_isa(isa)
        with dispatch.use(backend):
            return ops.selective_scan(*inputs, delta_softplus=True)

    return scan


def candidates(isas: list[str]) -> dict[str, Scan]:
    """Everything that is compared, the baseline first."""
    return {
        BASELINE: unbind_loop,
        "unbind, steps first": steps_first_loop,
        "torch": ours("torch"),
        **{f"native {isa}": ours("native", isa) for isa in isas},
    }


def forward(scan: Scan, shape: Shape) -> Callable[[object], object]:
    """One call without gradients."""
    inputs, _ = shape.inputs()

    def run(_: object) -> Tensor:
        with torch.no_grad():
            return scan(*inputs)

    return run


def with_backward(scan: Scan, shape: Shape) -> Callable[[object], object]:
    """One call and the gradients of all inputs."""
    inputs, grad = shape.inputs()
    for x in inputs:
        x.requires_grad_()

    def run(_: object) -> list[Tensor]:
        with torch.inference_mode(False), torch.enable_grad():
            out = scan(*inputs)
            return [out.detach(), *torch.autograd.grad(out, inputs, grad)]

    return run


WORKS = {"forward": forward, "forward+backward": with_backward}


def disagreement(scan: Scan, shape: Shape) -> float:
    """Largest difference from the baseline in output and gradients, relative to each one's largest value."""
    found, truth = (with_backward(f, shape)(None) for f in (scan, unbind_loop))
    return max(
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, truth, strict=True)
    )


@dataclass(frozen=True)
class Result:
    """One piece of work at one shape."""

    work: str
    shape: Shape
    error: float
    speed: SpeedResult


def measure(shape: Shape, options: argparse.Namespace) -> Iterator[Result]:
    """Check that all agree, then time forward and forward with backward."""
    scans = candidates(options.isas)
    error = max(disagreement(scan, shape) for scan in scans.values())
    if error > (1e-4 if shape.dtype == "float32" else 3e-2):
        sys.exit(f"{shape.name}: results differ by {error:.1e}, no speed is shown")
    for work, make in WORKS.items():
        speed = compare_speed(
            {name: make(scan, shape) for name, scan in scans.items()},
            shape,
            [shape.batch],
            Stop(repeats=options.repeats, budget_seconds=options.seconds),
            threads=options.threads,
            clock=time.process_time if options.cpu_time else time.perf_counter,
        )
        yield Result(work, shape, error, speed)


def lines(result: Result) -> Iterator[str]:
    """One row of the table for each candidate."""
    elements = (
        result.shape.batch * result.shape.length * result.shape.channels * result.shape.states
    )
    ratios = {s.label: str(s.ratio) for s in result.speed.speedups}
    for timing in result.speed.timings:
        seconds = timing.median
        yield (
            f"{result.work:17} {timing.label:20} {seconds * 1e3:10.3f} {seconds / elements * 1e9:8.3f}"
            f"   {ratios.get(timing.label, '1')}"
        )


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options = _parser().parse_args(arguments)
    results = []
    for shape in options.shapes:
        shape = Shape(*shape, dtype=options.dtype)
        print(
            f"{shape.name}\nwork              candidate            ms (median)  ns/state   ratio to the {BASELINE}"
        )
        for result in measure(shape, options):
            print("\n".join(lines(result)), flush=True)
            results.append(result)
    machine, after = results[-1].speed.machine, results[-1].speed.load_after
    print(f"{machine['cpu']}, {machine['threads']} thread(s), load {machine['load']} … {after}")
    if options.out:
        write_atomic(options.out, json.dumps([to_dict(r) for r in results], indent=1) + "\n")


def _shape(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split("x"))
    if len(sizes) != 4:
        raise argparse.ArgumentTypeError(
            "give images x steps x channels x states, as in 8x197x384x16"
        )
    return sizes


def _parser() -> argparse.ArgumentParser:
    offered = dispatch.native().available_isas()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", type=_shape, default=[(8, 197, 384, 16)])
    parser.add_argument("--isas", nargs="+", choices=offered, default=offered[::-1])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seconds", type=float, default=10.0, help="budget for one measurement")
    parser.add_argument("--repeats", type=int, default=10, help="rounds at the least")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a loaded machine"
    )
    parser.add_argument("--out", type=Path, default=None, help="write all results here as JSON")
    return parser


if __name__ == "__main__":
    main()
