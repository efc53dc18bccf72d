"""R-MeeTo against its description in loops, for every setting, and against its known figures."""

import itertools

import pytest
import rmeeto_spec
import torch

from rmeeto.errors import ConfigError
from rmeeto.reducers import PruneRedundant, RMeeTo
from rmeeto.tokens import TokenState, apply, drop_sources, match
from rmeeto.tokens.match import shuffle

# (tokens, protected slots): anywhere, none, several, and as few tokens as there can be.
LAYOUTS = [(13, (6,)), (12, ()), (12, (0,)), (14, (13,)), (15, (3, 4, 11)), (3, (1,))]
CLASS_PLACES = {
    5: [95, 92, 89, 86, 83, 80, 77, 74, 71, 68, 65],
    10: [93, 88, 83, 78, 73, 68, 63, 58, 53, 48, 43],
    11: [92, 86, 80, 74, 68, 62, 56, 50, 44, 39, 34],
    15: [90, 82, 74, 66, 58, 50, 42, 35, 28, 21, 14],
    20: [88, 78, 68, 58, 48, 38, 28, 18, 9, 4, 2],
}


def rng(seed):
    return torch.Generator().manual_seed(seed)


def random_state(n, slots, b=2, c=6, seed=0):
    g = rng(seed)
    protected = torch.zeros(b, n, dtype=torch.bool)
    protected[:, list(slots)] = True
    tokens = torch.randn(b, n, c, generator=g, dtype=torch.float64)
    size = torch.randint(1, 5, (b, n), generator=g).double().masked_fill(protected, 1)
    features = torch.randn(b, n, 4, generator=g, dtype=torch.float64)
    return TokenState(tokens, size, protected, n), features


def assert_is_spec(config, state, features, r):
    plan = config.plan(features, state, 2, r)
    plan.check(state.protected)
    after = apply(plan, state, config.mode)
    for b in range(len(features)):
        tokens, sizes, keep, groups = rmeeto_spec.step(
            features[b].tolist(), state.tokens[b].tolist(), state.size[b].tolist(),
            state.protected[b].tolist(), r, config.distance, config.kth, config.merge,
            config.ordered, config.compat,
        )  # fmt: skip
        assert plan.keep[b].tolist() == keep
        slots = {i: slot for slot, group in enumerate(groups) for i in group}
        assert plan.assign[b].tolist() == [slots[i] for i in range(len(slots))]
        expected = torch.tensor(tokens, dtype=torch.float64)
        torch.testing.assert_close(after.tokens[b], expected, rtol=1e-12, atol=1e-12)
        assert after.size[b].tolist() == pytest.approx(sizes, rel=1e-12)


@pytest.mark.parametrize("merge", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("distance", ["cosine", "l1", "l2"])
@pytest.mark.parametrize("kth", [1, 3])
def test_a_step_is_its_description(distance, kth, merge):
    for (n, slots), ordered, seed in itertools.product(LAYOUTS, [True, False], range(2)):
        state, features = random_state(n, slots, seed=seed)
        targets = (n - len(slots)) // 2
        for compat in (None, "upstream")[: 1 + (len(slots) < 2)]:
            config = RMeeTo(
                r=1, distance=distance, kth=min(kth, targets), merge=merge, ordered=ordered,
                compat=compat,
            )  # fmt: skip
            for r in {1, (targets + 1) // 2, targets}:
                assert_is_spec(config, state, features, r)


def test_class_tokens_may_stand_elsewhere_in_each_image():
    state, features = random_state(11, (), b=3)
    protected = torch.zeros(3, 11, dtype=torch.bool)
    protected[[0, 1, 2], [0, 5, 10]] = True
    state = TokenState(state.tokens, state.size, protected, 11)
    for compat in (None, "upstream"):
        assert_is_spec(RMeeTo(r=1, compat=compat), state, features, 4)


def test_plan_says_whether_it_is_in_scan_order():
    state, features = random_state(13, (6,))
    flags = {
        config: config.plan(features, state, 2, 3).ordered
        for config in (
            RMeeTo(r=3), RMeeTo(r=3, ordered=False), RMeeTo(r=3, compat="upstream"),
            RMeeTo(r=3, shuffle=0.5),
        )
    }  # fmt: skip
    assert list(flags.values()) == [True, False, False, False]


def test_l2_and_cosine_merge_the_same_tokens():
    for seed in range(20):
        state, features = random_state(40, (7,), seed=seed)
        plans = [
            RMeeTo(r=9, distance=d).plan(features, state, 2, 9) for d in ("cosine", "l2", "l1")
        ]
        assert torch.equal(plans[0].assign, plans[1].assign)
    assert not torch.equal(plans[0].assign, plans[2].assign)


def trajectory(config, r, steps=11, seed=0):
    state, _ = random_state(197, (98,), b=3, seed=seed)
    start = TokenState.begin(state.tokens, state.protected)
    state, places = start, []
    for site in range(2, 2 + 2 * steps, 2):
        now = min(r, config.limit(state.tokens.shape[1] - 1))
        state = apply(config.plan(state.tokens, state, site, now), state, config.mode)
        places.append(state.protected.nonzero()[:, 1])
    return start, state, torch.stack(places, 1)


@pytest.mark.parametrize("r", CLASS_PLACES)
def test_upstream_class_place_follows_the_published_trajectory(r):
    start, end, places = trajectory(RMeeTo(r=r, compat="upstream"), r)
    assert places.tolist() == [CLASS_PLACES[r]] * 3
    row = end.tokens.gather(1, places[:, -1:, None].expand(-1, 1, 6))[:, 0]
    assert torch.equal(row, start.tokens[:, 98])
    assert (end.size.gather(1, places[:, -1:]) == 1).all()
    assert (end.size.sum(1) == 197).all()


@pytest.mark.parametrize("r", CLASS_PLACES)
def test_class_place_is_exact_by_default(r):
    _, end, places = trajectory(RMeeTo(r=r), r)
    assert (end.anchor.diff(dim=1) > 0).all()
    assert torch.equal(places[:, -1], (end.anchor < 98).sum(1))
    assert torch.equal(end.anchor.gather(1, places[:, -1:]), torch.full((3, 1), 98))


def test_upstream_keeps_the_order_of_everything_else():
    state, features = random_state(31, (15,))
    exact = RMeeTo(r=9).plan(features, state, 2, 9)
    moved = RMeeTo(r=9, compat="upstream").plan(features, state, 2, 9)
    for b in range(2):
        assert [k for k in exact.keep[b] if k != 15] == [k for k in moved.keep[b] if k != 15]


def test_pruning_selects_what_merging_merges():
    for settings in ({}, {"ordered": False}, {"compat": "upstream"}, {"shuffle": 0.4}):
        state, features = random_state(25, (4,))
        merging = RMeeTo(r=7, **settings).plan(features, state, 2, 7)
        pruning = PruneRedundant(r=7, **settings).plan(features, state, 2, 7)
        pruning.check(state.protected)
        assert torch.equal(merging.keep, pruning.keep)
        assert torch.equal(pruning.assign, drop_sources(merging).assign)
        assert ((pruning.assign == 18).sum(1) == 7).all()
        after = apply(pruning, state)
        assert torch.equal(after.size, state.size.gather(1, pruning.keep))
        kept = state.tokens.gather(1, pruning.keep[..., None].expand(-1, -1, 6))
        assert torch.equal(after.tokens, kept)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_shuffle_moves_at_most_its_share_and_all_images_alike(rate):
    protected = torch.zeros(3, 40, dtype=torch.bool)
    protected[[0, 1, 2], [0, 17, 39]] = True
    plan = shuffle(protected, rate, seed=1, site=4)
    plan.check(protected)
    keep = plan.keep
    moved = (keep != torch.arange(40)).sum(1)
    assert (moved <= int(rate * 39)).all()
    assert (moved >= int(rate * 39) // 2).all()
    assert torch.equal(keep[protected], torch.tensor([0, 17, 39]))
    ranks = [[k - (k > p) for k in row if k != p] for row, p in zip(keep.tolist(), (0, 17, 39),
                                                                      strict=True)]  # fmt: skip
    assert ranks[0] == ranks[1] == ranks[2]
    assert torch.equal(shuffle(protected, rate, seed=1, site=4).keep, keep)
    for seed, site in [(2, 4), (1, 5), (4, 1)]:
        assert not torch.equal(shuffle(protected, rate, seed, site).keep, keep)


def test_shuffled_step_is_the_plain_step_on_permuted_tokens():
    state, features = random_state(22, (3,))
    config = RMeeTo(r=6, shuffle=0.5, seed=9)
    plan = config.plan(features, state, 4, 6)
    order = shuffle(state.protected, 0.5, 9, 4)
    assert not torch.equal(order.keep[0], torch.arange(22))
    moved = apply(order, state)
    permuted = features.gather(1, order.keep[..., None].expand_as(features))
    expected = apply(match(permuted, moved.protected, 6), moved)
    after = apply(plan, state)
    torch.testing.assert_close(after.tokens, expected.tokens, rtol=1e-12, atol=1e-12)
    assert torch.equal(after.size, expected.size)
    assert torch.equal(after.source, expected.source)
    assert torch.equal(after.anchor, expected.anchor)


def test_metric_names_its_tap():
    assert RMeeTo(r=1).wants == frozenset({"update"})
    assert RMeeTo(r=1, metric="tokens").wants == frozenset()
    for tap in ("b", "c", "delta", "q", "k", "v"):
        assert RMeeTo(r=1, metric=tap).wants == frozenset({tap})


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({}, "exactly one"), ({"r": 5, "ratio": 0.3}, "exactly one"),
        ({"r": 5, "final_tokens": 76}, "exactly one"), ({"r": -1}, "r="), ({"r": True}, "r="),
        ({"r": (3, -1)}, "r="), ({"ratio": 1.0}, "ratio="), ({"ratio": -0.1}, "ratio="),
        ({"final_tokens": 0}, "final_tokens="), ({"gflops": 0.0}, "gflops="),
        ({"r": 1, "metric": "x"}, "metric="), ({"r": 1, "distance": "dot"}, "distance="),
        ({"r": 1, "merge": "prod"}, "merge="), ({"r": 1, "kth": 0}, "kth="),
        ({"r": 1, "shuffle": 1.5}, "shuffle="), ({"r": 1, "seed": -1}, "seed="),
        ({"r": 1, "compat": "paper"}, "compat="),
        ({"ratio": 0.3, "final_tokens": 76, "compat": "upstream"}, "exactly one"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(settings, flag):
    with pytest.raises(ConfigError) as caught:
        RMeeTo(**settings)
    assert flag in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_upstream_may_force_the_last_merge():
    assert RMeeTo(r=5, final_tokens=76, compat="upstream").final_tokens == 76
    with pytest.raises(ConfigError, match="exactly one"):
        RMeeTo(r=5, final_tokens=76, gflops=1.0, compat="upstream")
