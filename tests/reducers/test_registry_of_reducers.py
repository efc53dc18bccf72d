"""What every registered reducer must do, and the way of its settings to a file and back."""

import json

import pytest
import torch

from rmeeto.errors import ConfigError, UnknownNameError
from rmeeto.reducers import REDUCERS, RMeeTo, reducer_from_dict, reducer_to_dict
from rmeeto.tokens import TokenState, apply

NAMES = REDUCERS.names()


def state_and_features(n=23, slots=(11,), b=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    protected = torch.zeros(n, dtype=torch.bool)
    protected[list(slots)] = True
    tokens = torch.randn(b, n, 5, generator=g)
    return TokenState.begin(tokens, protected), torch.randn(b, n, 7, generator=g)


def test_names():
    assert NAMES == ["prune_random", "prune_redundant", "prune_score", "rmeeto"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slots", [(), (0,), (11,), (22,), (2, 3, 20)])
def test_contract(name, slots):
    config = REDUCERS.get(name)(r=1)
    for n, b in [(23, 3), (24, 1)]:
        state, features = state_and_features(n, slots, b)
        for r in {1, 5, config.limit(n - len(slots))}:
            plan = config.plan(features, state, 2, r)
            plan.check(state.protected)
            assert plan.ordered
            assert plan.removed == r
            after = apply(plan, state, config.mode)
            assert (after.anchor.diff(dim=1) > 0).all()
            again = config.plan(features, state, 2, r)
            assert torch.equal(plan.assign, again.assign)
            alone = TokenState.begin(state.tokens[:1], state.protected[:1])
            assert torch.equal(config.plan(features[:1], alone, 2, r).assign, plan.assign[:1])
            if name == "rmeeto":
                assert (after.size.sum(1) == n).all()
            else:
                assert (after.size == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_limit_leaves_something(name):
    config = REDUCERS.get(name)(r=1)
    for eligible in range(1, 9):
        assert 0 <= config.limit(eligible) < eligible


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "goal", [{"r": 3}, {"r": (1, 2)}, {"ratio": 0.25}, {"final_tokens": 7}, {"gflops": 1.5}]
)
def test_settings_survive_a_file(name, goal):
    for sites in (None, "odd", 3, (1, 4)):
        config = REDUCERS.get(name)(**goal, sites=sites)
        saved = json.loads(json.dumps(reducer_to_dict(config)))
        assert saved["name"] == name
        assert reducer_from_dict(saved) == config


def test_every_rmeeto_setting_survives_a_file():
    config = RMeeTo(
        r=5, final_tokens=76, compat="upstream", metric="delta", distance="l1", kth=3,
        merge="max", ordered=False, shuffle=0.3, seed=4,
    )  # fmt: skip
    assert reducer_from_dict(json.loads(json.dumps(reducer_to_dict(config)))) == config


def test_typing_errors_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean rmeeto"):
        reducer_from_dict({"name": "rmeto", "r": 1})
    with pytest.raises(ConfigError, match="did you mean metric"):
        reducer_from_dict({"name": "rmeeto", "r": 1, "metrik": "b"})
    with pytest.raises(ConfigError, match="prune_score"):
        reducer_from_dict({"r": 1})


def test_lists_become_tuples():
    config = RMeeTo(r=[1, 2], sites=[2, 4])
    assert (config.r, config.sites) == ((1, 2), (2, 4))
    hash(config)
