"""Speed of whole models with and without token reduction, merging included.

Three candidates for each r take turns with the unreduced model:

* ``r=11``: the reduction as users run it;
* ``r=11 free``: the same token counts by cutting tokens off, which costs next to nothing. What the
  reduction takes beyond it is the overhead of matching and merging.

A speed-up is printed only if the kernels' answers agree with plain torch code.

    python benchmarks/e2e.py --models vim_micro_patch2_28 --rs 5 11 15 20 --batches 1 32 --threads 1
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
from torch import Tensor, nn

from rmeeto import RMeeTo, create_model
from rmeeto.backbones import Backbone
from rmeeto.config import to_dict
from rmeeto.evaluation.intervals import Interval, bootstrap_median
from rmeeto.ops import dispatch
from rmeeto.profiling import NoiseInput, SpeedResult, Stop, compare_speed, count_flops
from rmeeto.storage import write_atomic
from rmeeto.tokens import Reduction, TokenState

TOLERANCE = 1e-3  # of the largest logit; a near-tie may merge other tokens, hence the median


class Cut(nn.Module):
    """The token counts of a schedule without its work: the last tokens are cut off."""

    def __init__(self, reduction: Reduction) -> None:
        super().__init__()
        self.removals = reduction.schedule.removals

    def taps_for(self, block: int, start: int) -> frozenset[str]:
        return frozenset()

    def forward(self, site: int, state: TokenState) -> TokenState:
        if not self.removals[site]:
            return state
        left = state.tokens.shape[1] - self.removals[site]
        return TokenState(
            state.tokens[:, :left].contiguous(),
            state.size[:, :left],
            state.protected[:, :left],
            state.start,
        )


@dataclass(frozen=True)
class Overhead:
    """Time of the reduction as a share of the time that its token counts take for free."""

    r: int
    batch_size: int
    share: Interval


@dataclass(frozen=True)
class ModelResult:
    """One model's speed over r and batch size."""

    model: str
    gmacs: dict[str, float]
    agreement: dict[str, float]
    speed: SpeedResult
    overheads: tuple[Overhead, ...]


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options = _parser().parse_args(arguments)
    results = []
    for name in options.models:
        result = measure(name, options)
        print("\n".join(lines(result)), flush=True)
        results.append(to_dict(result))
    if options.out:
        write_atomic(options.out, json.dumps(results, indent=1) + "\n")


def measure(name: str, options: argparse.Namespace) -> ModelResult:
    """Time one model; exits where the kernels' answers are wrong."""
    model = create_model(name).eval().to(options.device)
    noise = NoiseInput(model.config.image_hw, model.config.in_chans, options.device)
    reductions = {r: Reduction(RMeeTo(r=r), model) for r in options.rs}  # type: ignore[arg-type]
    candidates: dict[str, Callable[[Tensor], Tensor]] = {"base": _with(model, None)}
    gmacs = {"base": count_flops(model, "full").gflops}
    for r, reduction in reductions.items():
        candidates[f"r={r}"] = _with(model, reduction)
        candidates[f"r={r} free"] = _with(model, Cut(reduction))
        model.reduction = reduction
        count = count_flops(model, "full")
        gmacs[f"r={r}"] = count.gflops
        gmacs[f"r={r} free"] = model.flops(count.tokens, (), "full") / 1e9
    agreement = {label: disagreement(run, noise(4)) for label, run in candidates.items()}
    if max(agreement.values()) > TOLERANCE:
        sys.exit(f"{name}: kernels and plain torch code disagree, no speed is shown: {agreement}")
    speed = compare_speed(
        candidates,
        noise,
        options.batches,
        Stop(repeats=options.repeats, budget_seconds=options.seconds),
        flops=gmacs,
        threads=options.threads,
        precision=options.precision,
        clock=time.process_time if options.cpu_time else time.perf_counter,
        on_estimate=lambda estimate: print(f"{name}: {estimate}", flush=True),
    )
    return ModelResult(name, gmacs, agreement, speed, tuple(_overheads(speed, options.rs)))


def disagreement(run: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Median over images of the largest difference from plain torch code, relative."""
    with torch.inference_mode():
        ours = run(images)
        with dispatch.use("torch"):
            plain = run(images)
    return float(((ours - plain).abs().amax(1) / plain.abs().amax(1)).median())


def lines(result: ModelResult) -> Iterator[str]:
    """The result as a table of text."""
    speed, cores = result.speed, result.speed.machine
    yield f"\n{result.model}  {speed.precision}  {speed.clock}  {cores['cpu']}"
    yield f"{cores['threads']} thread(s), {cores['backends']}"
    yield f"load {cores['load']} before, {speed.load_after} after, of {cores['cores']} cores"
    yield "batch candidate        img/s       p20..p80 ms  ratio, FLOPs ceiling, share realised"
    ratios = {(s.batch_size, s.label): s for s in speed.speedups}
    for t in speed.timings:
        s = ratios.get((t.batch_size, t.label))
        ratio = f"{s.ratio}  {s.ceiling:.2f}  {s.realised:.0%}" if s else ""
        spread = f"{t.p20 * 1e3:.2f}..{t.p80 * 1e3:.2f}"
        yield f"{t.batch_size:5} {t.label:12} {t.images_per_second:9.1f} {spread:>17}  {ratio}"
    for o in result.overheads:
        yield f"batch {o.batch_size}, r={o.r}: matching and merging add {o.share}"


def _with(model: Backbone, reduction: nn.Module | None) -> Callable[[Tensor], Tensor]:
    def run(images: Tensor) -> Tensor:
        model.reduction = reduction  # type: ignore[assignment]
        return model(images)

    return run


def _overheads(speed: SpeedResult, rs: list[int]) -> Iterator[Overhead]:
    seconds = {(t.batch_size, t.label): torch.tensor(t.seconds) for t in speed.timings}
    for size in sorted({t.batch_size for t in speed.timings}):
        for r in rs:
            paired = seconds[size, f"r={r}"] / seconds[size, f"r={r} free"] - 1
            yield Overhead(r, size, bootstrap_median(paired.numpy(), unit="%"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["vim_micro_patch2_28"])
    parser.add_argument("--rs", nargs="+", type=int, default=[5, 11, 15, 20])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    parser.add_argument("--seconds", type=float, default=30.0, help="budget for one batch size")
    parser.add_argument("--repeats", type=int, default=10, help="rounds at the least")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for --threads 1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=None, help="write all results here as JSON")
    return parser


if __name__ == "__main__":
    main()
