"""Plans: their invariants, composition, the way back, and what `apply` does to a state."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.tokens import Plan, TokenState, apply, compose, drop_lowest, drop_sources, match
from rmeeto.tokens.match import place_class_token, shuffle


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def state_of(b=3, n=11, c=5, protected=(4,), seed=0, dtype=torch.float64):
    mask = torch.zeros(n, dtype=torch.bool)
    mask[list(protected)] = True
    return TokenState.begin(torch.randn(b, n, c, generator=rng(seed), dtype=dtype), mask)


@st.composite
def chains(draw):
    """A start state and reductions to apply to it: (kind, r) each."""
    n = draw(st.integers(1, 24))
    slots = draw(st.sets(st.integers(0, n - 1), max_size=min(3, n - 1)))
    state = state_of(draw(st.integers(1, 3)), n, 4, sorted(slots), draw(st.integers(0, 999)))
    kinds = st.sampled_from(["merge", "unordered", "upstream", "drop", "prune", "shuffle"])
    return state, draw(st.lists(st.tuples(kinds, st.integers(0, 12)), max_size=4))


def plan_for(kind, r, state, site):
    free = int((~state.protected[0]).sum())
    r = min(r, max(free - 1, 0) if kind == "prune" else free // 2)
    if kind == "prune":
        return drop_lowest(state.tokens.norm(dim=2), state.protected, r)
    if kind == "shuffle":
        return shuffle(state.protected, 0.5, seed=3, site=site)
    plan = match(state.tokens, state.protected, r, ordered=kind != "unordered")
    if kind == "upstream":
        return place_class_token(plan, state.protected)
    return drop_sources(plan) if kind == "drop" else plan


def run(chain, mode="sum"):
    state, steps = chain
    for site, (kind, r) in enumerate(steps):
        if kind == "upstream" and state.protected[0].sum() > 1:
            continue
        plan = plan_for(kind, r, state, site)
        plan.check(state.protected)
        state = apply(plan, state, mode)
    return state


@settings(max_examples=60, deadline=None)
@given(chains())
def test_source_explains_every_token(chain):
    end = run(chain)
    start, source = chain[0].tokens, end.source
    for b in range(len(start)):
        for slot in range(end.tokens.shape[1]):
            members = (source[b] == slot).nonzero()[:, 0]
            assert end.anchor[b, slot] in members
            dropped_nothing = all(kind not in ("drop", "prune") for kind, _ in chain[1])
            if dropped_nothing:
                assert end.size[b, slot] == len(members)
                mean = start[b, members].mean(0)
                torch.testing.assert_close(end.tokens[b, slot], mean, rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(chains())
def test_protected_tokens_are_untouched(chain):
    end = run(chain)
    for b in range(len(end.tokens)):
        slots = end.protected[b].nonzero()[:, 0]
        origin = end.anchor[b, slots]
        assert sorted(origin.tolist()) == chain[0].protected[b].nonzero()[:, 0].tolist()
        assert torch.equal(end.tokens[b, slots], chain[0].tokens[b, origin])
        assert (end.size[b, slots] == 1).all()


@settings(max_examples=60, deadline=None)
@given(chains())
def test_composition_is_the_chain_in_one_plan(chain):
    end = run(chain)
    if not end.plans:
        return
    whole = end.plans[0]
    for plan in end.plans[1:]:
        whole = compose(whole, plan)
    whole.check(chain[0].protected)
    m = end.tokens.shape[1]
    assert torch.equal(whole.assign.masked_fill(whole.assign == m, -1), end.source)
    assert torch.equal(whole.keep, end.anchor)
    assert torch.equal(whole.unmerge(end.tokens), end.unmerge())
    if whole.ordered:
        assert (end.anchor.diff(dim=1) > 0).all()


@settings(max_examples=40, deadline=None)
@given(chains())
def test_sizes_add_up_to_the_start(chain):
    state, steps = chain
    end = run((state, [(k, r) for k, r in steps if k not in ("drop", "prune")]))
    assert (end.size.sum(1) == state.start).all()


@settings(max_examples=40, deadline=None)
@given(chains(), st.permutations(range(3)))
def test_images_do_not_see_each_other(chain, order):
    state, steps = chain
    order = [i for i in order if i < len(state.tokens)]
    moved = TokenState.begin(state.tokens[order], state.protected[order])
    end, moved_end = run((state, steps)), run((moved, steps))
    assert torch.equal(end.source[order], moved_end.source)
    torch.testing.assert_close(end.tokens[order], moved_end.tokens, rtol=1e-12, atol=1e-12)
    alone = run((TokenState.begin(state.tokens[:1], state.protected[:1]), steps))
    assert torch.equal(end.source[:1], alone.source)


def test_unmerge_fills_dropped_slots():
    plan = Plan(torch.tensor([[0, 3, 1, 2, 1]]), torch.tensor([[0, 2, 3]]))
    plan.check()
    values = torch.tensor([[10.0, 20.0, 30.0]])
    assert plan.unmerge(values).tolist() == [[10, 0, 20, 30, 20]]
    assert plan.unmerge(values, fill=-1.0).tolist() == [[10, -1, 20, 30, 20]]
    labels = torch.tensor([[1, 2, 3]])
    assert plan.unmerge(labels, fill=-1).tolist() == [[1, -1, 2, 3, 2]]
    assert plan.describe() == "1 images, 5 → 3 tokens: 1 merged, 1 dropped, largest group 2"


def test_identity_changes_nothing():
    state = state_of()
    plan = Plan.identity(3, 11)
    plan.check(state.protected)
    after = apply(plan, state)
    assert torch.equal(after.tokens, state.tokens)
    assert torch.equal(after.source, state.source)
    once = match(state.tokens, state.protected, 3)
    for whole in (compose(plan, once), compose(once, Plan.identity(3, 8))):
        assert torch.equal(whole.assign, once.assign)
        assert torch.equal(whole.keep, once.keep)


@pytest.mark.parametrize(
    ("assign", "keep", "ordered", "broken"),
    [
        ([[0, 1, 2]], [[0, 1]], True, None),
        ([[0, 1, 3]], [[0, 1]], True, "assign lies"),
        ([[0, 1, -1]], [[0, 1]], True, "assign lies"),
        ([[0, 1, 1]], [[0, 3]], True, "keep lies"),
        ([[0, 1, 1]], [[1, 0]], False, "representative"),
        ([[1, 0, 0]], [[1, 0]], True, "increases"),
        ([[1, 0, 0]], [[1, 0]], False, None),
        ([[0, 1]], [[0, 1, 1]], True, "no more new slots"),
    ],
)
def test_check_names_the_broken_invariant(assign, keep, ordered, broken):
    plan = Plan(torch.tensor(assign), torch.tensor(keep), ordered)
    if broken is None:
        return plan.check()
    with pytest.raises(ShapeError, match=broken):
        plan.check()
    return None


def test_check_guards_protected_tokens():
    plan = Plan(torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 1]]))
    for fixed, good in [(0, True), (1, False), (2, False), (3, False)]:
        protected = torch.arange(4)[None] == fixed
        if good:
            plan.check(protected)
        else:
            with pytest.raises(ShapeError, match="survive alone"):
                plan.check(protected)
    with pytest.raises(ShapeError, match="int64"):
        Plan(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.int64)).check()


def test_wrong_plan_or_mode_is_refused():
    state = state_of()
    with pytest.raises(ShapeError):
        apply(Plan.identity(3, 10), state)
    with pytest.raises(ConfigError, match="median"):
        apply(Plan.identity(3, 11), state, "median")
    with pytest.raises(ShapeError):
        compose(Plan.identity(3, 10), Plan.identity(3, 9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
def test_rows_alone_are_bit_identical(mode, dtype):
    state = state_of(b=4, n=29, dtype=dtype)
    size = torch.rand(4, 29, generator=rng(2), dtype=dtype) + 0.5  # s·x / s would not be x
    state = TokenState(state.tokens, size, state.protected, state.start)
    for r in (5, 4):
        plan = match(state.tokens, state.protected, r)
        after = apply(plan, state, mode)
        for b in range(4):
            for slot in range(after.tokens.shape[1]):
                members = (plan.assign[b] == slot).nonzero()[:, 0]
                if len(members) == 1:
                    assert torch.equal(after.tokens[b, slot], state.tokens[b, members[0]])
                    assert after.size[b, slot] == state.size[b, members[0]]
        state = after


@pytest.mark.parametrize("mode", ["sum", "mean", "max", "min"])
def test_gradients_reach_the_tokens(mode):
    state = state_of(b=2, n=9, c=3)
    plan = match(state.tokens, state.protected, 3)
    size = torch.rand(2, 9, generator=rng(1), dtype=torch.float64) + 0.5

    def merged(tokens):
        moved = TokenState(tokens, size, state.protected, state.start)
        return apply(plan, moved, mode).tokens

    assert torch.autograd.gradcheck(merged, (state.tokens.requires_grad_(),))


def test_state_begins_as_it_should():
    tokens = torch.randn(2, 5, 3, generator=rng(), dtype=torch.bfloat16)
    state = TokenState.begin(tokens, torch.zeros(2, 5, dtype=torch.bool))
    assert state.tokens.dtype == state.size.dtype == torch.float32
    assert state.source.tolist() == state.anchor.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert state.start == 5
    assert not state.plans
    assert not state.taps
    for mask in (torch.zeros(4, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool)):
        with pytest.raises(ShapeError):
            TokenState.begin(tokens, mask)


def test_apply_clears_taps():
    state = state_of()
    left = TokenState(state.tokens, state.size, state.protected, 11, (), {"update": state.tokens})
    assert not apply(Plan.identity(3, 11), left).taps
