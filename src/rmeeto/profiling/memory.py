"""Peak memory of a forward pass or a training step, measured in a process of its own.

Inside a running process the peak also holds whatever ran before, and memory that the allocator
kept. So the model is saved to a folder, a fresh interpreter loads it, runs one image to settle
what happens only once, and then measures the step.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..backbones import Backbone, load_model, save_model
from ..config import to_dict
from ..errors import ConfigError, RmeetoError
from ..evaluation.modes import autocast, evaluating
from .inputs import NoiseInput

Step = Literal["forward", "training"]
MIB = 2**20


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of one step, in MiB.

    Args:
        added: peak minus what was in use just before the step: activations, and for "training"
            gradients and optimiser state too.
        total: the peak; on the CPU the whole process with interpreter, libraries and weights,
            on CUDA everything allocated on the device.
        batch_size, step, device, precision: what ran.
        method: what was read: "VmHWM", "ru_maxrss" or "cuda allocator".
    """

    added: float
    total: float
    batch_size: int
    step: str
    device: str
    precision: str
    method: str


def peak_memory(
    model: Backbone | Path | str,
    batch_size: int = 32,
    step: Step = "forward",
    *,
    device: str = "cpu",
    precision: str = "fp32",
    timeout: float = 300.0,
) -> PeakMemory:
    """Peak memory of one forward pass, or one AdamW step, of a model in a fresh process.

    Args:
        model: a backbone, or the folder of a saved one; its reduction comes along.
        batch_size: images in the step; noise of the model's input shape.
        step: "forward" (eval mode, no gradients) or "training".
        device: "cpu" or "cuda".
        precision: "fp32", "bf16" or "fp16" (autocast).
        timeout: seconds until the process is given up.

    Returns:
        The peak in MiB; ``added`` repeats to within a few MiB on the CPU, exactly on CUDA.

    Raises:
        RmeetoError: the process failed, ran out of memory or out of time.
    """
    if step not in ("forward", "training"):
        raise ConfigError("a step", repr(step), "one of forward, training")
    with tempfile.TemporaryDirectory() as scratch:
        folder = _folder(model, Path(scratch) / "model")
        spec = {"folder": str(folder), "batch_size": batch_size, "step": step}
        spec |= {"device": device, "precision": precision, "threads": torch.get_num_threads()}
        return PeakMemory(**_run(spec, timeout))


def _folder(model: Backbone | Path | str, scratch: Path) -> Path:
    return Path(model) if isinstance(model, (str, Path)) else save_model(model, scratch)


def _run(spec: dict, timeout: float) -> dict:
    command = [sys.executable, "-c", f"from {__name__} import _main; _main()"]
    asked = f"peak memory of a {spec['step']} step at batch {spec['batch_size']}"
    try:
        done = subprocess.run(
            command, input=json.dumps(spec), capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as e:
        hint = "use a smaller batch or a longer timeout"
        raise RmeetoError(asked, f"no answer within {timeout:g} s", hint) from e
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing, as when memory runs out"]
        given = f"the measuring process ended with code {done.returncode}"
        raise RmeetoError(asked, given, f"{said[-1]}; if memory ran out, try a smaller batch")
    return json.loads(done.stdout.splitlines()[-1])


def _main() -> None:
    """Entry of the measuring process: a specification on stdin, the result on stdout."""
    spec = json.load(sys.stdin)
    sys.stdout.write(json.dumps(to_dict(_measure(**spec))) + "\n")


def _measure(
    folder: str, batch_size: int, step: Step, device: str, precision: str, threads: int
) -> PeakMemory:
    torch.set_num_threads(threads)
    model = load_model(Path(folder)).to(device)
    noise = NoiseInput(model.config.image_hw, model.config.in_chans, device)
    run = _forward if step == "forward" else _training
    run(model, noise(1), precision)
    for p in model.parameters():
        p.grad = None
    images = noise(batch_size)
    before = _reset(device)
    run(model, images, precision)
    peak, method = _peak(device)
    return PeakMemory(peak - before, peak, batch_size, step, device, precision, method)


def _forward(model: nn.Module, images: Tensor, precision: str) -> None:
    with evaluating(model), autocast(images.device, precision):
        model(images)


def _training(model: nn.Module, images: Tensor, precision: str) -> None:
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.0)
    with autocast(images.device, precision):
        logits = model(images)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    nn.functional.cross_entropy(logits.float(), labels).backward()
    optimiser.step()


def _reset(device: str) -> float:
    """Start a new peak; MiB in use now."""
    gc.collect()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / MIB
    if sys.platform != "linux":
        return _peak(device)[0]
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # give freed memory back first
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # peak := resident now
    except OSError:  # not allowed in some containers: count from the peak so far
        return _status("VmHWM")
    return _status("VmRSS")


def _peak(device: str) -> tuple[float, str]:
    """Peak since `_reset` in MiB, and what it was read from."""
    if device != "cpu":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / MIB, "cuda allocator"
    if sys.platform == "linux":  # ru_maxrss would start at the parent's peak here
        return _status("VmHWM"), "VmHWM"
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB, "ru_maxrss"  # bytes on macOS


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) / 1024
