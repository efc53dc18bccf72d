"""The machine's description: complete, plain, and silent about whose machine it is."""

import getpass
import json
import platform
from pathlib import Path

import torch

from rmeeto.profiling import machine as machine_module
from rmeeto.profiling.machine import describe_machine, usable_cores


def test_describes_what_matters():
    machine = describe_machine()
    assert machine["torch"] == torch.__version__
    assert machine["threads"] == torch.get_num_threads()
    assert 1 <= machine["cores"] == usable_cores()
    assert machine["cpu"]
    assert machine["isa"]
    assert all(x >= 0 for x in machine["load"])


def test_is_plain_and_names_nobody():
    text = json.dumps(describe_machine())
    for secret in (platform.node(), str(Path.home()), str(Path.cwd())):
        assert len(secret) < 4 or secret not in text
    assert getpass.getuser() not in text.split('"')


def test_processors_that_share_a_name_are_told_apart(monkeypatch):
    # One cloud's virtual machines call a Zen 4 and a Zen 5 alike.
    text = "model name : AMD EPYC\ncpu family : {}\nmodel\t: 17\n\nprocessor : 1\nmodel name : other\n"
    found = []
    for family in (25, 26):
        monkeypatch.setattr(Path, "read_text", lambda self, *a, f=family, **k: text.format(f))
        found.append(machine_module._cpu_name())
    assert found == ["AMD EPYC (family 25, model 17)", "AMD EPYC (family 26, model 17)"]
