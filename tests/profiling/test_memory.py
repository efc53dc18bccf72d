"""Peak memory, in its own process: grows with the batch, more for training, fails with a reason."""

import pytest
import torch
from torch import nn

from rmeeto import RMeeTo, create_model, reduce_
from rmeeto.errors import ConfigError, RmeetoError
from rmeeto.profiling import memory, peak_memory
from rmeeto.profiling.memory import MIB


def test_a_step_shows_its_activations_every_time():
    """64 MiB of output must appear in the peak, and the peak before must not hide it."""
    layer, images = nn.Linear(64, 2048, bias=False), torch.ones(8192, 64)
    for _ in range(2):
        before = memory._reset("cpu")
        memory._forward(layer, images, "fp32")
        assert 60 <= memory._peak("cpu")[0] - before <= 90


def test_training_holds_gradients_and_optimiser_state():
    layer = nn.Linear(2048, 2048, bias=False)
    images, weights = torch.ones(1, 2048), 2048 * 2048 * 4 / MIB
    before = memory._reset("cpu")
    memory._training(layer, images, "fp32")
    added = memory._peak("cpu")[0] - before
    assert 3 * weights - 2 <= added <= 6 * weights + 8


def test_fresh_process_measures_a_reduced_backbone():
    model = reduce_(create_model("vim_test", embed_dim=128), RMeeTo(r=3))
    found = peak_memory(model, batch_size=256)
    stream = 256 * 17 * 128 * 4 / MIB  # before a block and after it; a fused block keeps no more
    assert 2 * stream < found.added < 100 * stream
    assert found.total > found.added + 50  # interpreter and libraries
    assert (found.batch_size, found.step, found.device) == (256, "forward", "cpu")
    assert model.training


def test_failures_say_why(tmp_path):
    with pytest.raises(ConfigError, match="forward, training"):
        peak_memory(tmp_path, step="backward")
    with pytest.raises(RmeetoError, match="code 1"):
        peak_memory(tmp_path / "nothing")
    with pytest.raises(RmeetoError, match=r"within 0\.01 s"):
        peak_memory(tmp_path, timeout=0.01)
