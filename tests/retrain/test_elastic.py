"""Elastic training: another share of the tokens each step, drawn from the seed and the place alone."""

import pytest

import rmeeto
from rmeeto.data import open_source, take
from rmeeto.errors import ConfigError
from rmeeto.retrain import Recipe, retrain
from rmeeto.retrain.elastic import drawn_share

RECIPE = Recipe(
    max_steps=3, batch_size=4, lr=1e-3, scale_lr=False, augment="none", distill_weight=0.0, elastic=True,
    checkpoint_every=1,
)  # fmt: skip


def model():
    made = rmeeto.create_model("vim_micro_patch2_28", embed_dim=16, depth=2, num_classes=8)
    return rmeeto.reduce_(made, rmeeto.RMeeTo(r=90, sites=(1,)))


def finals(recipe, steps, rank=0):
    """Tokens left in each step."""
    found, host = [], model()
    for step in range(steps):
        with drawn_share(host, recipe, step, 0, rank):
            found.append(host.reduction.schedule.final)
    assert host.reduction.schedule.final == 107
    return found


def test_shares_are_spread_evenly_and_repeat_with_the_seed():
    found = finals(RECIPE, 400)
    assert found == finals(RECIPE, 400)
    assert found != finals(RECIPE.changed(seed=1), 400)
    assert found[:20] != finals(RECIPE, 20, rank=1)
    assert min(found) <= 109
    assert max(found) >= 195
    assert abs(sum(found) / len(found) - 152) < 5  # of 107 to 197


def test_without_elastic_the_whole_schedule_stays():
    assert set(finals(RECIPE.changed(elastic=False), 5)) == {107}


def test_training_sees_shares_and_validation_the_whole(tmp_path, monkeypatch):
    host, seen = model(), []
    block = host.layers[1]
    block.register_forward_pre_hook(
        lambda _, given: seen.append((host.training, given[0].tokens.shape[1]))
    )
    source = take(open_source("demo", "train"), 16)
    retrain(
        host,
        RECIPE,
        source,
        source,
        tmp_path,
        preprocessing=rmeeto.Preprocessing(**host.config.preprocessing),
    )
    trained = [tokens for training, tokens in seen if training]
    assert trained == finals(RECIPE, 3)
    assert {tokens for training, tokens in seen if not training} == {107}
    assert host.reduction.schedule.final == 107


def test_a_broken_step_leaves_the_whole_schedule():
    host = model()

    def stop():
        with drawn_share(host, RECIPE, 0, 0, 0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert host.reduction.schedule.final == 107


def test_a_model_without_a_reduction_is_refused(tmp_path):
    host = rmeeto.restore_(model())
    source = take(open_source("demo", "train"), 16)
    with pytest.raises(ConfigError, match="elastic"):
        retrain(
            host,
            RECIPE,
            source,
            None,
            tmp_path,
            preprocessing=rmeeto.Preprocessing(**host.config.preprocessing),
        )
