"""collect: logits and features of one pass, for any classifier, which is left as it was."""

import numpy as np
import pytest
import torch
from torch import nn

import rmeeto
import rmeeto.scores
from rmeeto.data import ArraySource, Preprocessing
from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import collect, head_of, predict
from rmeeto.scores import Odin

PLAIN = Preprocessing(32, mean=(0.5,) * 3, std=(0.25,) * 3)


def source(n=10, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    return ArraySource(images, np.arange(n) % 3, ["a", "b", "c"], "noise")


def inputs(data):
    return torch.from_numpy(PLAIN.normalise(data.images))


class Other(nn.Module):
    """A classifier of somebody else: the head is registered first, and a block is as wide as it."""

    def __init__(self, bias=True):
        super().__init__()
        self.top = nn.Linear(6, 4, bias=bias)
        self.inner = nn.Linear(3, 4)
        self.widen = nn.Linear(4, 6)
        self.drop = nn.Dropout(0.5)
        self.modes = []

    def forward(self, images):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.top(self.drop(torch.tanh(self.widen(self.inner(images.mean((2, 3)))))))


@pytest.mark.parametrize("name", ["vim_test", "vit_test"])
@pytest.mark.parametrize("r", [0, 2])
def test_features_are_those_of_the_hand_run_forward(name, r):
    model, data = rmeeto.create_model(name).eval(), source()
    if r:
        rmeeto.reduce_(model, rmeeto.RMeeTo(r=r))
    found = collect(model, data, PLAIN, batch_size=4)
    with torch.inference_mode():
        state = model.forward_features(inputs(data))
        features, logits = model.forward_head(state, pre_logits=True), model.forward_head(state)
    assert np.allclose(found.run.parts["features"], features, atol=1e-5)
    assert np.allclose(found.run.parts["logits"], logits, atol=1e-5)
    assert torch.equal(found.head.weight, model.head.weight)
    assert np.allclose(found.head(features), logits, atol=1e-5)
    assert found.run.ids.tolist() == list(range(10))
    assert (found.run.labels == data.labels).all()


def test_the_logits_are_those_of_predict():
    model, data = rmeeto.create_model("vim_test"), source()
    assert np.array_equal(
        collect(model, data, PLAIN).run.parts["logits"], predict(model, data, PLAIN).logits
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_callers_state_comes_back_and_plays_no_part(training):
    model = Other().train(training)
    model.inner.training = not training
    found = collect(model, source(), PLAIN)
    assert (model.training, model.inner.training) == (training, not training)
    assert model.modes == [(False, False)]
    again = collect(model.eval(), source(), PLAIN)
    assert np.array_equal(found.run.parts["features"], again.run.parts["features"])
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_no_hook_is_left_after_an_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(5, 3)).train()
    with pytest.raises(RuntimeError):
        collect(model, source(), PLAIN)
    assert model.training
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("bias", [True, False])
def test_the_head_is_the_last_one_that_runs(bias):
    model, data = Other(bias), source()
    found = collect(model, data, PLAIN)
    model.eval()
    expected = torch.tanh(model.widen(model.inner(inputs(data).mean((2, 3))))).detach()
    assert np.allclose(found.run.parts["features"], expected, atol=1e-6)
    head = head_of(model, torch.zeros(1, 3, 32, 32))
    assert torch.equal(head.weight, model.top.weight)
    assert torch.equal(head.bias, model.top.bias if bias else torch.zeros(4))
    ours = rmeeto.create_model("vim_test")
    assert torch.equal(head_of(ours).weight, ours.head.weight)


@pytest.mark.parametrize("name", ["vim_test", "vit_test"])
def test_an_images_row_does_not_depend_on_its_batch(name):
    model = rmeeto.reduce_(rmeeto.create_model(name), rmeeto.RMeeTo(r=2))
    whole, single = (collect(model, source(), PLAIN, batch_size=b).run.parts for b in (10, 1))
    for part in ("logits", "features"):
        assert np.allclose(whole[part], single[part], atol=1e-5)


def test_a_gradient_score_gets_the_changed_images():
    model, data = rmeeto.create_model("vim_test"), source(4)
    score = Odin(std=PLAIN.std)
    found = collect(model, data, PLAIN, batch_size=3, gradient=score).run.parts
    assert np.allclose(found["logits"], predict(model, data, PLAIN).logits, atol=1e-5)
    assert all(p.grad is None for p in model.parameters())
    images = inputs(data).requires_grad_()
    model.eval()
    score.objective(rmeeto.scores.Outputs(model(images))).backward()
    changed = model(score.step(images, images.grad)).detach()
    assert np.allclose(found["perturbed_logits"], changed, atol=1e-4)
    assert not np.allclose(found["perturbed_logits"], found["logits"], atol=1e-6)


def test_models_without_such_a_layer_are_refused():
    convolution = nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten())
    with pytest.raises(ConfigError, match="4 outputs"):
        collect(convolution, source(), PLAIN)
    with pytest.raises(ConfigError, match="images"):
        head_of(convolution)

    class PoolsLate(nn.Module):
        def __init__(self):
            super().__init__()
            self.top = nn.Linear(3, 4)

        def forward(self, images):
            return self.top(images.flatten(2).transpose(1, 2)).mean(1)

    with pytest.raises(ShapeError, match="pool"):
        collect(PoolsLate(), source(), PLAIN)
