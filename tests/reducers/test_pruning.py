"""What the pruning baselines drop."""

import pytest
import torch

from rmeeto.errors import ConfigError
from rmeeto.reducers import PruneRandom, PruneScore
from rmeeto.tokens import TokenState, apply, drop_lowest


def state_with(n=9, slot=4, b=2):
    tokens = torch.randn(b, n, 3, generator=torch.Generator().manual_seed(0))
    return TokenState.begin(tokens, torch.arange(n) == slot)


def test_clipped_score_counts_positive_outputs_only():
    features = torch.tensor([[1.0, 1.0], [3.0, -9.0], [0.5, 0.6], [-5.0, -5.0], [2.5, 0.0]])[None]
    state = TokenState.begin(torch.zeros(1, 5, 2), torch.tensor([0, 0, 0, 1, 0]).bool())
    # clipped: 2, 3, 1.1, (protected), 2.5
    assert PruneScore(r=2).plan(features, state, 2, 2).keep.tolist() == [[1, 3, 4]]
    assert PruneScore(r=2, drop="most").plan(features, state, 2, 2).keep.tolist() == [[0, 2, 3]]
    # norm: 1.41, 9.49, 0.78, (protected), 2.5
    norm = PruneScore(r=1, score="norm")
    assert norm.plan(features, state, 2, 3).keep.tolist() == [[1, 3]]
    most = PruneScore(r=1, score="norm", drop="most")
    assert most.plan(features, state, 2, 1).keep.tolist() == [[0, 2, 3, 4]]


def test_scores_name_their_taps():
    assert PruneScore(r=1).wants == frozenset({"mixer_out"})
    assert PruneScore(r=1, score="norm").wants == frozenset({"update"})
    assert PruneRandom(r=1).wants == frozenset()


def test_ties_drop_the_earlier_token():
    plan = drop_lowest(torch.zeros(1, 5), torch.tensor([[True, False, False, False, False]]), 2)
    assert plan.keep.tolist() == [[0, 3, 4]]
    assert plan.assign.tolist() == [[0, 3, 3, 1, 2]]
    many = drop_lowest((torch.arange(900) % 2).float()[None], torch.zeros(1, 900).bool(), 100)
    assert many.keep[0, :102].tolist() == [*range(1, 200, 2), 200, 201]


def test_dropped_tokens_leave_no_trace():
    state = state_with()
    after = apply(PruneRandom(r=3).plan(state.tokens, state, 2, 3), state)
    assert (after.size == 1).all()
    assert ((after.source == -1).sum(1) == 3).all()
    for b in range(2):
        assert torch.equal(after.tokens[b], state.tokens[b, after.anchor[b]])


def test_random_choice_depends_on_seed_and_site_only():
    state = state_with(n=40)
    other = TokenState.begin(state.tokens.flip(0) * 2, state.protected)
    keep = PruneRandom(r=9).plan(state.tokens, state, 2, 9).keep
    torch.manual_seed(99)
    assert torch.equal(PruneRandom(r=9).plan(other.tokens, other, 2, 9).keep, keep)
    assert torch.equal(keep[0], keep[1])
    assert not torch.equal(PruneRandom(r=9).plan(state.tokens, state, 4, 9).keep, keep)
    assert not torch.equal(PruneRandom(r=9, seed=1).plan(state.tokens, state, 2, 9).keep, keep)


def test_random_choice_is_the_same_patches_wherever_the_class_token_is():
    first, last = (state_with(n=20, slot=slot) for slot in (0, 19))
    keeps = [PruneRandom(r=6).plan(s.tokens, s, 2, 6).keep[0] for s in (first, last)]
    assert torch.equal(keeps[0][1:] - 1, keeps[1][:-1])


def test_random_choice_is_uniform():
    state = state_with(n=21, slot=0, b=1)
    dropped = torch.zeros(21)
    for seed in range(400):
        plan = PruneRandom(r=5, seed=seed).plan(state.tokens, state, 2, 5)
        dropped += (plan.assign[0] == 16).float()
    assert dropped[0] == 0
    assert ((dropped[1:] > 60) & (dropped[1:] < 140)).all()  # 100 expected, sd 8.7


@pytest.mark.parametrize(
    ("method", "settings"),
    [(PruneScore, {"score": "max"}), (PruneScore, {"drop": "some"}), (PruneRandom, {"seed": -1})],
)
def test_bad_settings_are_refused_by_name(method, settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))}="):
        method(r=1, **settings)
