import subprocess
import sys
from pathlib import Path

import pytest
import torch
from one_of_two import WHOLE
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy, weights

from rmeeto.errors import ConfigError
from rmeeto.retrain import World, retrain
from rmeeto.retrain.feed import Feed


def test_alone_everything_is_as_it_was():
    world, tensor = World(), torch.ones(3)
    world.sum_([tensor])
    assert torch.equal(tensor, torch.ones(3))
    assert world.agree(1.5, torch.device("cpu")) == 1.5
    assert World.current() == World(0, 1)
    assert world.writes
    assert not World(1, 2).writes


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match="multiple of 3"):
        Feed(TRAIN, RECIPE, PREPROCESSING, torch.device("cpu"), World(0, 3))


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    driver = Path(__file__).with_name("one_of_two.py")
    command = [sys.executable, str(driver)]
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store"), str(tmp_path)])
        for rank in range(2)
    ]
    assert [process.wait() for process in both] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    model = Toy()
    result = retrain(model, WHOLE, TRAIN, VAL, tmp_path / "alone", preprocessing=PREPROCESSING)
    assert torch.equal(first["weights"], second["weights"])
    torch.testing.assert_close(first["weights"], weights(model), rtol=1e-4, atol=1e-5)
    assert first["accuracy"] == second["accuracy"] == result.last_accuracy
    norms = [x["grad_norm"] for x in result.history if "grad_norm" in x]
    assert first["norms"] == second["norms"] == pytest.approx(norms, rel=1e-4)
    assert first["events"] > 0
    assert second["events"] == 0  # only the first process reports
