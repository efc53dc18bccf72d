"""The machine's description: complete, plain, and silent about whose machine it is."""

import getpass
import json
import platform
from pathlib import Path

import torch

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
