"""Speed of one reduction step (match, merge, both): native kernels against plain torch code.

The two take turns. A ratio is printed only if both give the same plans and merged tokens.

    python benchmarks/merge.py --tokens 197 --width 192 --r 11 --batches 1 32 --threads 1
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

from rmeeto import ops
from rmeeto.config import to_dict
from rmeeto.ops import dispatch
from rmeeto.profiling import SpeedResult, Stop, compare_speed
from rmeeto.storage import write_atomic

Work = Callable[[Tensor], tuple[Tensor, Tensor]]
BASELINE = "torch"


@dataclass(frozen=True)
class Step:
    """One reduction of (B, N, C) tokens with a class token in the middle."""

    tokens: int
    width: int
    r: int
    seed: int = 0

    @property
    def name(self) -> str:
        """What a record says about the input."""
        return f"noise {self.tokens}×{self.width}, r={self.r}, seed {self.seed}"

    def __call__(self, batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(batch, self.tokens, self.width, generator=generator)

    def protected(self, batch: int) -> Tensor:
        """(B, N) bool, the middle token."""
        middle = torch.arange(self.tokens) == self.tokens // 2
        return middle.repeat(batch, 1)


@dataclass(frozen=True)
class Result:
    """One piece of work, timed on both backends."""

    work: str
    speed: SpeedResult


def works(step: Step, batch: int) -> dict[str, Work]:
    """What is timed: matching alone, merging alone, and one after the other."""
    protected, size = step.protected(batch), torch.ones(batch, step.tokens)
    fixed_plan, kept = ops.bipartite_match(step(batch), protected, step.r)[0], step.tokens - step.r

    def match(features: Tensor) -> tuple[Tensor, Tensor]:
        return ops.bipartite_match(features, protected, step.r)

    def merge(tokens: Tensor) -> tuple[Tensor, Tensor]:
        return ops.merge_tokens(tokens, size, fixed_plan, kept)

    def both(tokens: Tensor) -> tuple[Tensor, Tensor]:
        return ops.merge_tokens(tokens, size, match(tokens)[0], kept)

    return {"match": match, "merge": merge, "match+merge": both}


def on(backend: str, work: Work) -> Work:
    """The same work, always on one backend."""

    def run(tokens: Tensor) -> tuple[Tensor, Tensor]:
        with dispatch.use(backend), torch.inference_mode():
            return work(tokens)

    return run


def agree(work: Work, tokens: Tensor) -> bool:
    """Whether both backends give the same result, sums up to rounding."""
    plain, native = on(BASELINE, work)(tokens), on("native", work)(tokens)
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain, native, strict=True))


def measure(step: Step, options: argparse.Namespace) -> Iterator[Result]:
    """Time each piece of work at each batch size."""
    for batch in options.batches:
        for name, work in works(step, batch).items():
            if not agree(work, step(batch)):
                sys.exit(f"{name}, batch {batch}: the backends disagree, no speed is shown")
            speed = compare_speed(
                {backend: on(backend, work) for backend in (BASELINE, "native")},
                step,
                [batch],
                Stop(repeats=options.repeats, budget_seconds=options.seconds),
                threads=options.threads,
                clock=time.process_time if options.cpu_time else time.perf_counter,
            )
            yield Result(name, speed)


def line(result: Result) -> str:
    """One row of the table."""
    plain, native = result.speed.timings
    each = " ".join(f"{t.median / t.batch_size * 1e6:12.1f}" for t in (plain, native))
    ratio = result.speed.speedups[0].ratio
    return f"{plain.batch_size:5} {result.work:12} {each}   {ratio}"


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options = _parser().parse_args(arguments)
    step = Step(options.tokens, options.width, options.r)
    print(f"{step.name}\nbatch work         µs/image: {BASELINE}   native   ratio")
    results = []
    for result in measure(step, options):
        print(line(result), flush=True)
        results.append(result)
    machine, after = results[-1].speed.machine, results[-1].speed.load_after
    print(f"{machine['cpu']}, {machine['threads']} thread(s), load {machine['load']} … {after}")
    if options.out:
        write_atomic(options.out, json.dumps([to_dict(r) for r in results], indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=197)
    parser.add_argument("--width", type=int, default=192, help="features and channels of a token")
    parser.add_argument("--r", type=int, default=11, help="tokens that one step removes")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--seconds", type=float, default=3.0, help="budget for one measurement")
    parser.add_argument("--repeats", type=int, default=20, help="rounds at the least")
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for --threads 1")
    parser.add_argument("--out", type=Path, default=None, help="write all results here as JSON")
    return parser


if __name__ == "__main__":
    main()
