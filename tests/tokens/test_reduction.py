"""The reduction as a part of a model: attached, called at its sites, taken off again."""

import copy
import pickle

import pytest
import torch
from fake_host import FakeHost

import rmeeto
from rmeeto.errors import ConfigError
from rmeeto.reducers import PruneRandom, PruneRedundant, PruneScore, RMeeTo
from rmeeto.tokens import Reduction, reduce_, resolve, restore_

IMAGES = [1, 2, 3]
METHODS = [RMeeTo, PruneRedundant, PruneScore, PruneRandom]


def small(**settings):
    return FakeHost(**({"depth": 6, "num_tokens": 21, "slots": (10,)} | settings))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [{"r": 0}, {"ratio": 0.0}, {"final_tokens": 21}, {"gflops": 9.0}])
def test_nothing_to_remove_is_bit_identical(method, how):
    host = small()
    plain = host(IMAGES)
    reduce_(host, method(**how))
    reduced = host(IMAGES)
    assert torch.equal(plain.tokens, reduced.tokens)
    assert not reduced.plans
    state = host.embed(IMAGES)
    assert all(host.reduction(site, state) is state for site in range(6))
    assert {taps for _, taps in host.asked} == {frozenset()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", [{}, {"slots": ()}, {"slots": (0, 7, 20)}, {"per_layer": 2}])
def test_counts_that_run_are_the_schedule(method, layout):
    host = reduce_(small(**layout), method(r=3, sites="all"))
    seen, blocks = [], host.block_list()
    host.block_list = lambda: [
        lambda state, taps, b=b: (seen.append(state.tokens.shape[1]), b(state, taps))[1]
        for b in blocks
    ]
    end = host(IMAGES)
    assert tuple(seen) == host.reduction.schedule.tokens()
    assert end.protected.sum(1).tolist() == [host.num_protected] * 3
    for plan in end.plans:
        plan.check()


def test_taps_are_asked_for_only_where_a_site_follows():
    host = reduce_(small(), RMeeTo(r=(3, 0), metric="b"))
    host(IMAGES)
    assert host.asked == [(i, frozenset({"b"} if i == 1 else ())) for i in range(6)]
    assert host.reduction.wants == frozenset({"b"})
    tokens = reduce_(small(), RMeeTo(r=3, metric="tokens"))
    assert tokens(IMAGES).tokens.shape[1] == 15
    assert {taps for _, taps in tokens.asked} == {frozenset()}


def test_before_the_first_block_tokens_stand_in_for_the_tap():
    update, tokens = (
        reduce_(small(), RMeeTo(r=3, sites=(0,), metric=metric)) for metric in ("update", "tokens")
    )
    assert torch.equal(update(IMAGES).source, tokens(IMAGES).source)


def test_a_missing_tap_is_named():
    host = reduce_(small(), RMeeTo(r=3))
    with pytest.raises(ConfigError, match="'update' at site 2"):
        host.reduction(2, host.embed(IMAGES))
    with pytest.raises(ConfigError, match="'delta'"):
        reduce_(host, RMeeTo(r=3, metric="delta"))
    assert host.reduction.config == RMeeTo(r=3)  # a refused one leaves the old in place


def test_attaching_replaces_and_leaves_the_state_dict_alone():
    host = small()
    keys, plain = list(host.state_dict()), host(IMAGES).tokens
    assert reduce_(host, RMeeTo(r=3)) is host
    first = host.reduction
    reduce_(host, RMeeTo(r=2))
    assert host.reduction is not first
    assert host(IMAGES).tokens.shape[1] == 17
    assert list(host.state_dict()) == keys
    assert not list(host.reduction.parameters())
    assert not list(host.reduction.buffers())
    assert [type(m) for m in host.modules()] == [FakeHost, Reduction]
    assert restore_(host) is host
    assert host.reduction is None
    assert torch.equal(host(IMAGES).tokens, plain)


def test_survives_train_eval_copy_and_pickle():
    host = reduce_(small(), RMeeTo(r=3))
    expected = host(IMAGES).tokens
    for other in (host.train(), host.eval(), copy.deepcopy(host)):
        assert torch.equal(other(IMAGES).tokens, expected)
    twin = copy.deepcopy(host)
    assert twin.reduction is not host.reduction
    assert twin.reduction._host[0] is twin
    config = pickle.loads(pickle.dumps(host.reduction.config))
    assert config == RMeeTo(r=3)


def test_another_number_of_tokens_gets_its_own_schedule():
    host = reduce_(small(), RMeeTo(final_tokens=12))
    assert host(IMAGES).tokens.shape[1] == 12
    assert host(IMAGES, num_tokens=41).tokens.shape[1] == 12
    assert host.reduction.schedule_for(41) == resolve(RMeeTo(final_tokens=12), host, 41)
    assert host.reduction.schedule_for(41) is host.reduction.schedule_for(41)
    assert host.reduction.schedule.start == 21
    reduce_(host, RMeeTo(r=9))
    with pytest.raises(ConfigError, match=r"r=5$"):
        host(IMAGES, num_tokens=11)


def test_gradients_flow_through_the_merges():
    host = reduce_(small(), RMeeTo(r=3))
    host(IMAGES).tokens.square().sum().backward()
    assert (host.maps.grad.abs().sum((1, 2)) > 0).all()


def test_no_image_sees_another():
    for method in (*METHODS, lambda r: RMeeTo(r=r, shuffle=0.5)):
        host = reduce_(small(), method(r=3))
        together, backwards = host([1, 2, 3]), host([3, 2, 1])
        assert torch.equal(together.source, backwards.source.flip(0))
        assert torch.equal(together.source[1:2], host([2]).source)
        assert torch.equal(together.source, host([1, 2, 3]).source)


def test_a_model_without_sites_is_refused():
    with pytest.raises(ConfigError, match="Linear"):
        reduce_(torch.nn.Linear(2, 2), RMeeTo(r=1))


def test_summary_adds_up_and_prints():
    host = FakeHost(counted_width=384)
    summary = reduce_(host, RMeeTo(ratio=0.31)).reduction.summary()
    assert round(summary.paper / 1e9, 2) == 3.58
    assert round(summary.paper_plain / 1e9, 2) == 5.08
    assert (summary.start, summary.final, round(summary.ratio, 3)) == (197, 76, 0.307)
    assert [row.tokens for row in summary.rows][:5] == [197, 197, 197, 186, 186]
    assert sum(row.removed for row in summary.rows) == 121
    assert sum(row.full for row in summary.rows) < summary.full
    lines = str(summary).splitlines()
    assert lines[0] == "rmeeto ratio=0.31: tokens 197 → 76, ratio 0.307"
    assert lines[1].split() == ["layer", "tokens", "in", "removed", "GMACs", "(paper)",
                                "GMACs", "(full)"]  # fmt: skip
    assert lines[4].split()[:3] == ["2", "197", "11"]
    assert lines[-3].split()[:4] == ["total", "197", "121", "3.585"]
    assert len({len(line) for line in lines[1:-1]}) == 1
    assert lines[-1].startswith("saved: 29.4% of the MACs (paper)")


def test_summary_rows_are_layers_also_where_a_layer_is_two_blocks():
    host = reduce_(small(per_layer=2), RMeeTo(r=2, sites="all"))
    rows = host.reduction.summary().rows
    assert [row.layer for row in rows] == list(range(6))
    assert [row.tokens for row in rows] == [21, 19, 17, 15, 13, 11]
    assert {row.removed for row in rows} == {2}


def test_reduction_prints_what_it_does():
    text = repr(reduce_(small(), RMeeTo(r=3)).reduction)
    assert "tokens 21 → 15" in text


@pytest.mark.parametrize(("share", "tokens"), [(0.0, 197), (0.3, 182), (1.0, 147)])
def test_a_scaled_reduction_removes_a_share_and_leaves_the_whole_one_alone(share, tokens):
    model = rmeeto.create_model("vim_micro_patch2_28", embed_dim=16, depth=3)
    rmeeto.reduce_(model, rmeeto.RMeeTo(r=50, sites=(1,)))
    other = model.reduction.scaled(share)
    assert other.schedule.final == tokens
    assert other.schedule_for(101).final == 101 - round(share * 50)
    assert other.taps_for(0) == (model.reduction.wants if share else frozenset())
    assert model.reduction.schedule.final == 147
