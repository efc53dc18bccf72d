"""Matching against its brute-force definition, on every backend and instruction set."""

import itertools

import pytest
import torch
from op_checks import (
    BACKENDS,
    ISAS,
    backend,
    needs_native,
    poisoned_memory,
    threads,
)
from torch.utils.flop_counter import FlopCounterMode

from rmeeto import ops
from rmeeto.errors import BackendError, ConfigError, ShapeError
from rmeeto.ops.merge import reference

SIZES = [(1, 7, 1), (2, 10, 0), (3, 13, 3), (1, 2, 0), (2, 40, 5), (1, 67, 1)]  # B, N, protected


def make_match(batch, tokens, n_protected, width=5, seed=0):
    """Random features, and protected tokens at other places in every image."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, tokens, width, generator=generator)
    order = torch.rand(batch, tokens, generator=generator).argsort(1)
    return features, order < n_protected


def exact_features(batch, tokens, seed=0):
    """Rows of ±1 whose products are exact in any order of summation, with many ties."""
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (batch, tokens, 4), generator=generator) - 1


def assert_same_plan(plan, expected):
    for got, want in zip(plan, expected, strict=True):
        assert got.dtype == torch.int64
        assert torch.equal(got, want)


def test_definition_by_hand():
    # Unprotected: 0 1 3 4 5 (2 is protected); sources 0 3 5, targets 1 4.
    angles = torch.tensor([0.0, 0.3, 9.9, 1.0, 0.9, 0.5])
    features = torch.stack([angles.cos(), angles.sin()], 1)[None] * 3
    protected = torch.tensor([[False, False, True, False, False, False]])
    # Nearest: 0→1 (0.3 away), 3→4 (0.1), 5→1 (0.2).
    assign, keep = reference.bipartite_match(features, protected, 1, "cosine", 1, True)
    assert keep.tolist() == [[0, 1, 2, 4, 5]]
    assert assign.tolist() == [[0, 1, 2, 3, 3, 4]]
    assign, keep = reference.bipartite_match(features, protected, 2, "cosine", 1, True)
    assert keep.tolist() == [[0, 1, 2, 4]]
    assert assign.tolist() == [[0, 1, 2, 3, 3, 1]]
    # Farthest instead: 0→4 (0.9), 3→1 (0.7), 5→4 (0.4): 5 goes.
    assign, keep = reference.bipartite_match(features, protected, 1, "l2", 2, True)
    assert keep.tolist() == [[0, 1, 2, 3, 4]]
    assert assign.tolist() == [[0, 1, 2, 3, 4, 4]]
    # By score: 3 goes; kept sources 5, 0; the protected at ⌊2·2/3⌋ = 1; then targets 1, 4.
    assign, keep = reference.bipartite_match(features, protected, 1, "cosine", 1, False)
    assert keep.tolist() == [[5, 2, 0, 1, 4]]
    assert assign.tolist() == [[2, 3, 1, 4, 4, 0]]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ordered", [True, False])
def test_match_is_the_definition(name, size, ordered):
    features, protected = make_match(*size)
    most = (size[1] - size[2]) // 2
    for r in sorted({0, 1, most // 2, most}):
        for distance, kth in itertools.product(("cosine", "l1", "l2"), (1, 2, 3)):
            if r == 0 or kth <= most:
                args = (features, protected, r, distance, kth, ordered)
                auto = distance == "l1" or kth > 1
                with backend("torch" if auto else name):
                    assert_same_plan(ops.bipartite_match(*args), reference.bipartite_match(*args))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("ordered", [True, False])
def test_ties_go_to_the_earlier_token(name, ordered):
    for seed in range(4):
        features = exact_features(2, 45 + seed, seed)
        protected = torch.zeros(features.shape[:2], dtype=torch.bool)
        protected[:, 3 * seed] = True
        for r in (1, 9, 22):
            for distance in ("cosine", "l2"):
                args = (features, protected, r, distance, 1, ordered)
                with backend(name):
                    assert_same_plan(ops.bipartite_match(*args), reference.bipartite_match(*args))


@pytest.mark.parametrize("name", BACKENDS)
def test_equal_and_zero_rows(name):
    protected = torch.zeros(1, 12, dtype=torch.bool)
    for features in (torch.full((1, 12, 4), 2.0), torch.zeros(1, 12, 4)):
        with backend(name):
            assign, keep = ops.bipartite_match(features, protected, 3)
        assert keep.tolist() == [[1, 3, 5, 6, 7, 8, 9, 10, 11]]
        assert assign[0, [0, 2, 4]].tolist() == [0, 0, 0]  # all join the first target, token 1


@pytest.mark.parametrize("name", BACKENDS)
def test_l2_is_the_cosine(name):
    features, protected = make_match(2, 101, 1, width=16)
    with backend(name):
        expected = ops.bipartite_match(features, protected, 30)
        assert_same_plan(ops.bipartite_match(features, protected, 30, "l2"), expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_each_image_on_its_own(name):
    features, protected = make_match(3, 50, 2)
    with backend(name):
        together = ops.bipartite_match(features, protected, 11)
        alone = [
            ops.bipartite_match(features[i : i + 1], protected[i : i + 1], 11) for i in range(3)
        ]
    assert_same_plan(together, [torch.cat(parts) for parts in zip(*alone, strict=True)])


@pytest.mark.parametrize("name", BACKENDS)
def test_views_and_types(name):
    features, _ = make_match(2, 30, 0, width=16)
    protected = (torch.arange(30) == 4)[None].expand(2, -1)
    expected = reference.bipartite_match(features, protected, 7, "cosine", 1, True)
    wide = torch.cat([features, features], 2)
    with backend(name):
        assert_same_plan(ops.bipartite_match(wide[..., :16], protected, 7), expected)
        across = features.transpose(1, 2).contiguous().transpose(1, 2)
        assert_same_plan(ops.bipartite_match(across, protected, 7), expected)
        half = features.bfloat16()
        expected = reference.bipartite_match(half, protected, 7, "cosine", 1, True)
        assert_same_plan(ops.bipartite_match(half, protected, 7), expected)
        assert [len(x) for x in ops.bipartite_match(features[:0], protected[:0], 7)] == [0, 0]


@pytest.mark.parametrize("name", BACKENDS)
def test_features_that_are_not_finite_still_give_a_plan(name):
    features, protected = make_match(2, 41, 1)
    features[0, 5:9], features[1] = torch.nan, torch.inf
    with backend(name):
        assign, keep = ops.bipartite_match(features, protected, 12)
    assert bool((keep.diff(dim=1) > 0).all())
    assert bool(((assign >= 0) & (assign < 29)).all())
    assert torch.equal(assign.gather(1, keep), torch.arange(29).expand(2, -1))


@pytest.mark.parametrize("name", BACKENDS)
def test_no_gradient_and_identity(name):
    features, protected = make_match(2, 9, 1)
    features.requires_grad_()
    with backend(name):
        assert not any(x.requires_grad for x in ops.bipartite_match(features, protected, 2))
        for ordered in (True, False):
            plan = ops.bipartite_match(features, protected, 0, ordered=ordered)
            assert_same_plan(plan, [torch.arange(9).expand(2, -1)] * 2)


@pytest.mark.parametrize("name", BACKENDS)
def test_match_refuses(name):
    features, protected = make_match(2, 9, 2)
    with backend(name):
        for r, options in ((4, {}), (6, {}), (-1, {}), (1, {"distance": "dot"}), (1, {"kth": 0})):
            with pytest.raises(ConfigError):
                ops.bipartite_match(features, protected, r, **options)
        for wrong in (protected[:1], protected.long()):
            with pytest.raises(ShapeError):
                ops.bipartite_match(features, wrong, 1)
        protected[0] = False
        with pytest.raises(ShapeError):
            ops.bipartite_match(features, protected, 1)
    with pytest.raises(ConfigError):
        ops.bipartite_match(*make_match(2, 9, 2), 1, kth=4)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [1, 5])
def test_thread_count_changes_no_plan(isa, batch):
    features, protected = make_match(batch, 801, 1, width=96)
    plans = []
    for count in (1, 2):
        with backend(f"native-{isa}"), threads(count):
            plans.append(ops.bipartite_match(features, protected, 300))
    assert_same_plan(*plans)


@pytest.mark.parametrize("name", BACKENDS)
def test_match_flops_are_two_a_product(name):
    features, protected = make_match(2, 20, 0, width=8)
    with backend(name), FlopCounterMode(display=False) as counter:
        ops.bipartite_match(features, protected, 3)
    assert counter.get_total_flops() == 2 * 2 * 10 * 10 * 8


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_reads_nothing_it_did_not_write(isa):
    with backend(f"native-{isa}"), poisoned_memory():
        for size in SIZES:
            for ordered in (True, False):
                args = (*make_match(*size), (size[1] - size[2]) // 2, "cosine", 1, ordered)
                assert_same_plan(ops.bipartite_match(*args), reference.bipartite_match(*args))


@needs_native
def test_op_is_well_formed():
    features, protected = make_match(2, 11, 1)
    for ordered in (True, False):
        torch.library.opcheck(torch.ops.rmeeto.bipartite_match, (features, protected, 3, ordered))


class Step(torch.nn.Module):
    """One whole reduction: match, then merge."""

    def forward(self, tokens, size, protected):
        assign, keep = ops.bipartite_match(tokens, protected, 5)
        merged, total = ops.merge_tokens(tokens, size, assign, keep.shape[1])
        return merged, total, assign, keep


@pytest.mark.parametrize("name", BACKENDS)
def test_compiles_and_exports(name):
    tokens, protected = make_match(2, 21, 1)
    size = torch.ones(2, 21)
    with backend(name):
        expected = Step()(tokens, size, protected)
        compiled = torch.compile(Step(), backend="aot_eager", fullgraph=True)
        tokens.requires_grad_()
        got = compiled(tokens, size, protected)
        (grad,) = torch.autograd.grad(got[0].sum(), tokens)
        program = torch.export.export(Step(), (tokens, size, protected))
        for results in (got, program.module()(tokens, size, protected)):
            for a, b in zip(results, expected, strict=True):
                torch.testing.assert_close(a, b)
    assert grad.shape == tokens.shape


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    features, protected = make_match(1, 9, 0)
    with backend("native"), pytest.raises(BackendError, match="cosine"):
        ops.bipartite_match(features, protected, 1, "l1")
