"""No illegal instruction on an old CPU: a whole reduced training step under an emulated one."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(
        shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64 (Debian: qemu-user)"
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 CPUs"),
    pytest.mark.skipif(
        importlib.util.find_spec("rmeeto._native") is None, reason="the kernels are not built"
    ),
]
STEP = """
import json, torch, rmeeto
from rmeeto.ops import dispatch
torch.set_num_threads(1)
model = rmeeto.create_model("vim_test", seed=0).eval()
rmeeto.reduce_(model, rmeeto.RMeeTo(r=2))
shape = 2, model.config.in_chans, *model.config.image_hw
logits = model(torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape))
logits.square().sum().backward()
grads = [p.grad.norm().item() for p in model.parameters()]
print(json.dumps({"isa": dispatch.native().isa(), "logits": logits.flatten().tolist(), "grads": grads}))
"""


def step(*emulator: str) -> dict:
    environment = {k: v for k, v in os.environ.items() if k != "RMEETO_ISA"}
    command = [*emulator, sys.executable, "-c", STEP]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr  # −4 would be an illegal instruction
    return json.loads(done.stdout)


@pytest.mark.parametrize(("cpu", "isa"), [("Nehalem", "generic"), ("Haswell", "avx2")])
def test_a_step_on_an_old_cpu_gives_this_cpus_numbers(cpu, isa):
    emulated, here = step("qemu-x86_64", "-cpu", cpu), step()
    assert emulated["isa"] == isa
    for name in ("logits", "grads"):
        assert emulated[name] == pytest.approx(here[name], rel=1e-4, abs=1e-6)
