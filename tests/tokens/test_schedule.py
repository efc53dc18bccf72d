"""Schedules and the planner against the published trajectories, ratios and FLOPs."""

import pytest
from fake_host import FakeHost
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError
from rmeeto.reducers import PruneRandom, PruneScore, RMeeTo
from rmeeto.tokens import Schedule, resolve, site_blocks
from rmeeto.tokens.planner import cost

# Tokens after each of the 11 merges of a 24-block model with 197 tokens.
COUNTS = {
    5: [192, 187, 182, 177, 172, 167, 162, 157, 152, 147, 142],
    10: [187, 177, 167, 157, 147, 137, 127, 117, 107, 97, 87],
    11: [186, 175, 164, 153, 142, 131, 120, 109, 98, 87, 76],
    15: [182, 167, 152, 137, 122, 107, 92, 77, 62, 47, 32],
    20: [177, 157, 137, 117, 97, 77, 57, 37, 19, 10, 6],
}
EVEN_RATIO = {5: 0.140, 10: 0.279, 11: 0.307, 15: 0.419, 20: 0.540}
ODD_RATIO = {5: 0.152, 10: 0.305, 11: 0.335, 15: 0.457, 20: 0.581}
LABELS = {0.14: 5, 0.28: 10, 0.31: 11, 0.42: 15, 0.54: 20}
GFLOPS = {192: {5: 1.28, 10: 1.08, 11: 1.04, 15: 0.87, 20: 0.70},
          384: {5: 4.44, 10: 3.73, 11: 3.58, 15: 3.02, 20: 2.40},
          768: {5: 16.39, 10: 13.74, 11: 13.21, 15: 11.10, 20: 8.81}}  # fmt: skip
PRINTED = {(192, 0): 1.45, (384, 0): 5.08, (768, 0): 18.87,
           (192, 5): 1.28, (384, 11): 3.58, (768, 11): 13.21}  # fmt: skip
HOST = FakeHost()


@pytest.mark.parametrize("r", COUNTS)
def test_published_token_counts_and_ratios(r):
    schedule = resolve(RMeeTo(r=r), HOST)
    seen = schedule.tokens()
    assert list(seen[2::2]) == list(seen[3::2]) == COUNTS[r]
    assert seen[:2] == (197, 197)
    assert schedule.final == COUNTS[r][-1]
    assert round(schedule.ratio, 3) == EVEN_RATIO[r]
    assert round(resolve(RMeeTo(r=r, sites="odd"), HOST).ratio, 3) == ODD_RATIO[r]


@pytest.mark.parametrize(("label", "r"), LABELS.items())
def test_published_ratio_labels_find_their_r(label, r):
    assert resolve(RMeeTo(ratio=label), HOST) == resolve(RMeeTo(r=r), HOST)


@pytest.mark.parametrize(("width", "r"), PRINTED)
def test_printed_gflops_to_two_decimals(width, r):
    host, config = FakeHost(counted_width=width), RMeeTo(r=r)
    assert round(cost(config, resolve(config, host), host) / 1e9, 2) == PRINTED[width, r]


@pytest.mark.parametrize("width", GFLOPS)
def test_recomputed_gflops(width):
    host = FakeHost(counted_width=width)
    for r, known in GFLOPS[width].items():
        config = RMeeTo(r=r)
        assert cost(config, resolve(config, host), host) / 1e9 == pytest.approx(known, abs=0.006)


def test_video_schedule():
    video = FakeHost(num_tokens=1569, slots=(0,))
    assert resolve(RMeeTo(r=88), video).final == 601
    assert round(resolve(RMeeTo(r=88), video).ratio, 3) == 0.308
    deep = FakeHost(depth=32, num_tokens=1569, slots=(0,))
    assert resolve(RMeeTo(r=88), deep).final == 249
    assert round(resolve(RMeeTo(r=88), deep).ratio, 3) == 0.421


@pytest.mark.parametrize(
    ("sites", "layers"),
    [
        ("even", [2, 4]), ("odd", [1, 3, 5]), (None, [2, 4]),
        (1, [1, 2, 3, 4, 5]), (2, [2, 4]), (3, [3]), ((0, 5), [0, 5]), ([1, 2], [1, 2]),
    ],
)  # fmt: skip
def test_sites(sites, layers):
    plain, paired = FakeHost(depth=6), FakeHost(depth=6, per_layer=2)
    config = RMeeTo(r=1, sites=sites)
    assert site_blocks(config.sites, plain) == tuple(layers)
    assert site_blocks(config.sites, paired) == tuple(2 * i + 1 for i in layers)
    removals = resolve(config, paired).removals
    assert [i for i, r in enumerate(removals) if r] == [2 * i + 1 for i in layers]


def test_all_sites_are_those_with_a_block_before_them():
    assert site_blocks("all", FakeHost(depth=4)) == (1, 2, 3)
    assert site_blocks("all", FakeHost(depth=4, per_layer=2)) == (1, 3, 5, 7)


@pytest.mark.parametrize(
    ("sites", "hint"),
    [
        ("evn", "even"), (0, "1 or more"), (9, "sites='all'"), ((6,), "0 to 5"),
        ((3, 2), "increasing"), ((2, 2), "once"), ((), "sites='all'"),
    ],
)  # fmt: skip
def test_impossible_sites_are_refused(sites, hint):
    with pytest.raises(ConfigError, match=hint):
        site_blocks(sites, FakeHost(depth=6))


def test_too_large_r_is_refused_with_the_largest():
    assert resolve(RMeeTo(r=98), HOST).tokens()[2] == 99
    with pytest.raises(ConfigError, match=r"r=98$"):
        resolve(RMeeTo(r=99), HOST)
    with pytest.raises(ConfigError, match=r"r=98$"):
        resolve(RMeeTo(r=(0, 99) + (0,) * 9), HOST)
    assert resolve(PruneRandom(r=195), HOST).tokens()[2:5] == (2, 2, 2)
    with pytest.raises(ConfigError, match=r"r=195$"):
        resolve(PruneScore(r=196), HOST)


def test_explicit_list():
    removals = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 90)
    schedule = resolve(RMeeTo(r=removals), HOST)
    assert schedule.removals[2::2] == (*removals[:-1], 70)  # 142 tokens left: clamped
    assert set(schedule.removals[1::2]) == {0}
    with pytest.raises(ConfigError, match="11 sites"):
        resolve(RMeeTo(r=(1, 2)), HOST)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 197))
def test_final_tokens_are_met_exactly(final):
    schedule = resolve(RMeeTo(final_tokens=final), HOST)
    assert schedule.final == final
    removed = schedule.removals[2::2]
    assert list(removed) == sorted(removed, reverse=True)


@pytest.mark.parametrize("final", [1, 198])
def test_impossible_final_tokens_are_refused(final):
    with pytest.raises(ConfigError, match="between 2 and 197"):
        resolve(RMeeTo(final_tokens=final), HOST)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.7), st.sampled_from(["even", "odd", "all"]))
def test_ratio_takes_the_nearest_r(ratio, sites):
    reached = resolve(RMeeTo(ratio=ratio, sites=sites), HOST).ratio
    every = [resolve(RMeeTo(r=r, sites=sites), HOST).ratio for r in range(99)]
    assert abs(reached - ratio) == min(abs(x - ratio) for x in every)
    assert every == sorted(every)


def test_impossible_ratio_names_the_best():
    best = resolve(RMeeTo(r=98), HOST).ratio
    with pytest.raises(ConfigError, match=f"up to {best:.4f}"):
        resolve(RMeeTo(ratio=0.95), HOST)


@pytest.mark.parametrize("target", [1.45, 1.4, 1.285, 1.2, 0.7])
@pytest.mark.parametrize("method", [RMeeTo, PruneRandom])
def test_gflops_are_met_by_the_smallest_r(target, method):
    config = method(gflops=target)
    schedule = resolve(config, HOST)
    r = max(schedule.removals)
    assert cost(config, schedule, HOST) <= target * 1e9
    for smaller in range(r):
        assert cost(config, resolve(method(r=smaller), HOST), HOST) > target * 1e9


def test_impossible_gflops_name_the_least():
    with pytest.raises(ConfigError, match=r"possible here: 0\.28"):
        resolve(RMeeTo(gflops=0.01), HOST)


def test_pruning_without_matching_costs_no_matching():
    schedule = resolve(PruneRandom(r=11), HOST)
    matched, drawn = (cost(c(r=11), schedule, HOST) for c in (RMeeTo, PruneRandom))
    assert matched > drawn == HOST.flops(schedule.tokens())


def test_upstream_forces_the_last_merge_only_when_asked():
    def final_steps(r, **settings):
        return resolve(RMeeTo(r=r, compat="upstream", **settings), HOST).tokens()[20::2]

    assert final_steps(5) == (147, 142)
    assert final_steps(5, final_tokens=76) == (147, 76)
    assert final_steps(11, final_tokens=76) == (87, 76)
    assert final_steps(15, final_tokens=76) == (47, 47)
    assert final_steps(0, final_tokens=76) == (197, 99)  # clamped as every step is


def test_kth_leaves_out_sites_with_too_few_targets():
    seen = resolve(RMeeTo(r=20, kth=21), HOST).tokens()
    assert seen[-10::2] == (57, 37, 37, 37, 37)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-2, 40), max_size=12), st.integers(1, 60), st.integers(0, 3),
    st.booleans(),
)  # fmt: skip
def test_clamped_schedules_never_overdraw(asked, start, protected, halves):
    protected = min(protected, start - 1)
    limit = (lambda n: n // 2) if halves else (lambda n: n - 1)
    schedule = Schedule.clamped(asked, start, protected, limit)
    assert all(0 <= got <= max(want, 0) for got, want in zip(schedule.removals, asked, strict=True))
    assert schedule.final > protected
    assert len(schedule.tokens()) == len(asked)
    sites = [(n, r) for n, r, _ in schedule.merges(1)]
    assert all(0 < r <= limit(n - protected) for n, r in sites)


def test_a_schedule_must_leave_something():
    with pytest.raises(ConfigError):
        Schedule((5, 5), 10)
    with pytest.raises(ConfigError):
        Schedule((-1,), 10)
