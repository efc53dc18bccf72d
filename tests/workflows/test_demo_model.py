"""The model that ships with the package: small, explained, the committed reference, and good."""

import json
from pathlib import Path

import pytest

import rmeeto
from rmeeto.data import Subset, open_source
from rmeeto.evaluation import predict
from rmeeto.workflows.setup import DEMO_MODEL

REFERENCE = Path(__file__).parents[2] / "results" / "references" / "fashion8" / "vim_elastic"


@pytest.fixture(scope="module")
def model():
    """The shipped model."""
    return rmeeto.load_model(DEMO_MODEL)


def test_it_is_the_committed_reference():
    for name in ("model.safetensors", "config.json"):
        assert (DEMO_MODEL / name).read_bytes() == (REFERENCE / name).read_bytes()


def test_it_is_small_and_says_how_it_was_made():
    assert sum(p.stat().st_size for p in DEMO_MODEL.iterdir()) < 6e6
    config = json.loads((DEMO_MODEL / "config.json").read_text())
    assert config["provenance"]["recipe"]["epochs"] > 0


def test_it_has_the_geometry_of_the_paper(model):
    assert (model.num_tokens, model.grid) == (197, (14, 14))
    tokens = rmeeto.reduce_(model, rmeeto.RMeeTo(r=11)).reduction.schedule.tokens()
    assert tokens == tuple(197 - 11 * k for k in range(12))
    rmeeto.restore_(model)


def test_it_classifies(model):
    source = Subset(open_source("demo", "test"), range(300))
    found = predict(model, source, rmeeto.Preprocessing(**model.config.preprocessing))
    assert found.correct().mean() > 0.85
