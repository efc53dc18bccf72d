"""Logits agree with the published code's, dense and reduced."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from rmeeto import RMeeTo, create_model, reduce_

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def golden():
    made = runpy.run_path(str(GOLDEN / "weights.py"))
    model = create_model("vim_tiny_patch16_224").eval()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict({k: torch.from_numpy(made["weight"](k, s)) for k, s in shapes.items()})
    with np.load(GOLDEN / "vim_tiny.npz") as wanted:
        return model, torch.from_numpy(made["images"]()), dict(wanted)


def relative_error(model, images, wanted):
    with torch.no_grad():
        logits = model(images).numpy()
    return np.linalg.norm(logits - wanted) / np.linalg.norm(wanted)


def test_dense(golden):
    model, images, wanted = golden
    assert relative_error(model, images, wanted["dense"]) < 1e-5


def test_reduced_as_upstream(golden):
    model, images, wanted = golden
    reduce_(model, RMeeTo(r=11, compat="upstream"))
    try:
        assert relative_error(model, images, wanted["r11_upstream"]) < 1e-5
        assert model.forward_features(images).tokens.shape[1] == 76
    finally:
        model.reduction = None
