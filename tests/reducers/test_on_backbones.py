"""Every reducer on the smallest model of every family."""

import copy

import pytest
import torch

from rmeeto.backbones import create_model, list_models
from rmeeto.errors import ConfigError
from rmeeto.reducers import REDUCERS, PruneScore, RMeeTo
from rmeeto.tokens import reduce_, restore_

MODELS = list_models("*_test")
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def built(name):
    return create_model(name).eval()


def methods_for(model):
    """One config a registered method, on features that the model's blocks have."""
    scored = "clipped" if "mixer_out" in model.TAPS else "norm"
    special = {"prune_score": {"score": scored}}
    return [(REDUCERS.get(name), special.get(name, {})) for name in REDUCERS]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_to_remove_is_the_plain_model(name):
    model = built(name)
    keys = list(model.state_dict())
    with torch.inference_mode():
        plain = model(IMAGES)
        for method, settings in methods_for(model):
            reduce_(model, method(r=0, **settings))
            assert torch.equal(model(IMAGES), plain)
            assert list(model.state_dict()) == keys
        assert torch.equal(restore_(model)(IMAGES), plain)


@pytest.mark.parametrize("name", MODELS)
def test_tokens_follow_the_schedule(name):
    model = built(name)
    with torch.inference_mode():
        for method, settings in methods_for(model):
            listed = {"r": (0, 4, 0, 1), "sites": (0, 1, 2, 3)}
            for goal in ({"r": 3}, {"final_tokens": 6}, {"ratio": 0.3}, listed):
                reduce_(model, method(**goal, **settings))
                state = model.forward_features(IMAGES)
                assert state.tokens.shape[1] == model.reduction.schedule.final
                for plan in state.plans:
                    plan.check()
                assert torch.equal(state.anchor[state.protected], state_of_class(model, state))
                assert torch.equal(copy.deepcopy(model)(IMAGES), model(IMAGES))
                assert str(model.reduction.summary())


def state_of_class(model, state):
    start = int(model.embed(IMAGES).protected[0].nonzero())
    return torch.full((len(state.tokens),), start)


@pytest.mark.parametrize("name", MODELS)
def test_every_tap_of_a_model_can_be_matched_on(name):
    model = built(name)
    metrics = {"tokens", *model.TAPS} - {"mixer_out"}
    with torch.inference_mode():
        plans = {}
        for metric in sorted(metrics):
            reduce_(model, RMeeTo(r=3, metric=metric))
            state = model.forward_features(IMAGES)
            assert state.tokens.shape[1] == model.reduction.schedule.final < model.num_tokens
            plans[metric] = state.source
    assert any(not torch.equal(plans["tokens"], other) for other in plans.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_tap_that_a_model_lacks_is_refused_at_once(name):
    model = built(name)
    missing = {"b", "k"} - model.TAPS
    for metric in missing:
        with pytest.raises(ConfigError, match=repr(metric)):
            reduce_(model, RMeeTo(r=1, metric=metric))
    if "mixer_out" not in model.TAPS:
        with pytest.raises(ConfigError, match="mixer_out"):
            reduce_(model, PruneScore(r=1))
    assert missing
    assert model.reduction is None


@pytest.mark.parametrize("name", MODELS)
def test_training_reaches_every_block(name):
    model = reduce_(create_model(name).train(), RMeeTo(r=3))
    model(IMAGES).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", MODELS)
def test_reduced_models_export(name):
    model = reduce_(built(name), RMeeTo(r=3))
    program = torch.export.export(model, (IMAGES,))
    with torch.inference_mode():
        assert torch.equal(program.module()(IMAGES), model(IMAGES))
