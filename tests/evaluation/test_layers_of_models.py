"""Features of earlier layers: which, how they are pooled, and what the score over them refuses."""

import numpy as np
import pytest
import torch
from torch import nn

import rmeeto
from rmeeto.data import ArraySource, Preprocessing
from rmeeto.errors import ConfigError, ScoreError, ShapeError
from rmeeto.evaluation import collect, quarter_layers
from rmeeto.scores import SCORES, Outputs

PLAIN = Preprocessing(32, mean=(0.5,) * 3, std=(0.25,) * 3)


def source(n=12, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    return ArraySource(images, np.arange(n) % 3, ["a", "b", "c"], "noise")


@pytest.mark.parametrize(("depth", "expected"), [(1, [0]), (2, [0]), (4, [0, 1, 2]), (12, [2, 5, 8])])
def test_which(depth, expected):
    assert quarter_layers(rmeeto.create_model("vim_test", depth=depth)) == expected


@pytest.mark.parametrize("name", ["vim_test", "vit_test"])
@pytest.mark.parametrize("r", [0, 2])
def test_they_are_states_of_the_loop_averaged_over_patches(name, r):
    model, data = rmeeto.create_model(name, num_classes=3).eval(), source()
    if r:
        rmeeto.reduce_(model, rmeeto.RMeeTo(r=r, sites="all"))
    layers = quarter_layers(model)
    found = collect(model, data, PLAIN, batch_size=5, layers=layers)
    with torch.inference_mode():
        states = model.forward_intermediates(torch.from_numpy(PLAIN.normalise(data.images)), layers)
    for k, state in enumerate(states):
        rows = []
        for size, tokens in zip(state.size.tolist(), state.tokens, strict=True):
            rows.append(sum(s * t for s, t in zip(size, tokens, strict=True)) / sum(size))
        assert np.allclose(found.run.parts[f"layer{k}"], torch.stack(rows), atol=1e-5)
    plain = collect(model, data, PLAIN, batch_size=5).run.parts
    assert set(plain) == {"logits", "features"}
    assert np.allclose(found.run.parts["logits"], plain["logits"], atol=1e-5)
    assert np.allclose(found.run.parts["features"], plain["features"], atol=1e-5)


def test_models_without_layers_are_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(ConfigError, match="Sequential"):
        collect(model, source(), PLAIN, layers=[0])
    with pytest.raises(ConfigError, match="layers 0 to"):
        collect(rmeeto.create_model("vim_test"), source(), PLAIN, layers=[99])


def test_the_score_needs_the_layers_that_it_was_fitted_on():
    g = torch.Generator().manual_seed(1)
    draw = lambda n, d: torch.randn(n, d, generator=g)  # noqa: E731
    train = Outputs(draw(60, 3), draw(60, 5), torch.arange(60) % 3, None, (draw(60, 4), draw(60, 5)))
    score = SCORES.get("mahalanobis_layers")()
    fitted = score.fit(train)
    assert fitted(train).mean().item() == pytest.approx(1.0, rel=1e-5)  # each layer in units of its own mean
    fewer, more = train.layers[:1], (*train.layers, train.layers[1])
    for layers in (train.layers[::-1], fewer, more):
        with pytest.raises(ShapeError, match="layers of widths"):
            fitted(Outputs(train.logits, train.features, None, None, layers))
    with pytest.raises(ScoreError, match="earlier layers"):
        score.fit(Outputs(train.logits, train.features, train.labels))
    broken = (train.layers[0], train.layers[1].clone())
    broken[1][7] = float("nan")
    with pytest.raises(ScoreError, match="1 of 60 rows"):
        fitted(Outputs(train.logits, train.features, None, None, broken))
