"""Matching against a brute-force definition, merging against float64, on every backend."""

import itertools

import pytest
import torch
from op_checks import (
    BACKENDS,
    ISAS,
    assert_near,
    backend,
    differentiate,
    everything,
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


# ---- the definition itself


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


# ---- matching


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
        with pytest.raises(ShapeError):
            ops.bipartite_match(features, protected[:1], 1)
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


# ---- merging


def merge_all(rows, size, assign, m):
    """Merged rows, sizes, and the gradient of the rows."""
    return everything(lambda x: ops.merge_tokens(x, size, assign, m), [rows])


def make_merge(batch, tokens, m, channels, seed=0):
    """Rows, sizes, and slots of which the last is the spill and one is left empty."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, tokens, channels, generator=generator)
    size = torch.randint(1, 5, (batch, tokens), generator=generator).float()
    assign = torch.randint(0, m + 1, (batch, tokens), generator=generator)
    return rows, size, assign.where(assign != m - 1, 0)


MERGES = [(2, 11, 4, 3), (1, 1, 1, 1), (2, 60, 30, 87), (1, 20, 7, 600)]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", MERGES)
@pytest.mark.parametrize("weighted", [True, False])
def test_slot_sum_and_gradient(name, shape, weighted):
    rows, weight, assign = make_merge(*shape)
    weight = weight if weighted else None
    m = shape[2]
    wide = None if weight is None else weight.double()
    truth = differentiate(lambda x: reference.slot_sum(x, wide, assign, m), [rows.double()])
    with backend(name):
        got = differentiate(lambda x: ops.slot_sum(x, weight, assign, m), [rows])
    assert_near(got[0][0], truth[0][0], 1e-6)
    assert_near(got[1][0], truth[1][0], 1e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", MERGES)
def test_merge_and_gradient(name, shape):
    rows, size, assign = make_merge(*shape)
    m = shape[2]

    def definition(x):
        return reference.merge_tokens(x, size.double(), assign, m)

    truth = differentiate(definition, [rows.double()])
    with backend(name):
        got = merge_all(rows, size, assign, m)
    for a, b in zip(got, truth[0] + truth[1], strict=True):
        assert_near(a, b, 1e-6)


@pytest.mark.parametrize("name", BACKENDS)
def test_no_images(name):
    rows, size, assign = make_merge(0, 5, 2, 4)
    rows.requires_grad_()
    with backend(name):
        merged, total = ops.merge_tokens(rows, size, assign, 2)
        (grad,) = torch.autograd.grad(merged.sum(), rows)
    assert (merged.shape, total.shape, grad.shape) == ((0, 2, 4), (0, 2), (0, 5, 4))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_token_alone_keeps_its_bits(name):
    rows, size, _ = make_merge(2, 30, 1, 50)
    rows[0, 0], rows[0, 1, :2] = -0.0, torch.tensor([1e-42, -3e38])
    assign = torch.arange(30).expand(2, -1).clone()
    assign[:, 7:9] = 6  # 6, 7 and 8 merge
    assign[:, 9:] -= 2
    with backend(name):
        merged, total = ops.merge_tokens(rows, size / 7, assign, 28)
    alone = [n for n in range(30) if n not in (6, 7, 8)]
    bits = [x.contiguous().view(torch.int32) for x in (merged[:, assign[0, alone]], rows[:, alone])]
    assert torch.equal(*bits)
    assert torch.equal(total[:, assign[0, alone]], (size / 7)[:, alone])


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_agree_to_the_bit_on_sums_of_whole_numbers(name):
    rows, size, assign = make_merge(3, 40, 9, 33)
    with backend(name):
        out = ops.slot_sum(rows.round(), size, assign, 9)
    assert torch.equal(out, reference.slot_sum(rows.round(), size, assign, 9))


@pytest.mark.parametrize("name", BACKENDS)
def test_merge_views_and_slot_sum_types(name):
    rows, size, assign = make_merge(2, 24, 6, 20)
    truth = reference.merge_tokens(rows.double(), size.double(), assign, 6)
    across = rows.transpose(1, 2).contiguous().transpose(1, 2)
    swapped = rows.transpose(0, 1).contiguous().transpose(0, 1)
    with backend(name):
        for x in (across, swapped, torch.cat([rows, rows], 2)[..., :20]):
            assert_near(ops.merge_tokens(x, size, assign, 6)[0], truth[0], 1e-6)
    half = ops.slot_sum(rows.bfloat16(), size, assign, 6)  # torch only: falls back
    assert half.dtype == torch.bfloat16
    wide = reference.slot_sum(rows.bfloat16().double(), size.double(), assign, 6)
    assert_near(half, wide, 2**-8)


@pytest.mark.parametrize("name", BACKENDS)
def test_merge_refuses(name):
    rows, size, assign = make_merge(2, 8, 3, 4)
    with backend(name):
        with pytest.raises(ShapeError):
            ops.merge_tokens(rows, size[:, 1:], assign, 3)
        with pytest.raises(ShapeError):
            ops.slot_sum(rows, None, assign[:1], 3)
        for wrong in (-1, 4):
            with pytest.raises(ShapeError):
                ops.merge_tokens(rows, size, assign.masked_fill(assign == 0, wrong), 3)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_thread_count_changes_no_bit(isa):
    for shape in ((20, 197, 180, 300), (1, 1500, 900, 900)):
        rows, size, assign = make_merge(*shape)
        results = []
        for count in (1, 2):
            with backend(f"native-{isa}"), threads(count):
                results.append(merge_all(rows, size, assign, shape[2]))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_reads_nothing_it_did_not_write(isa):
    with backend(f"native-{isa}"), poisoned_memory():
        for size in SIZES:
            for ordered in (True, False):
                args = (*make_match(*size), (size[1] - size[2]) // 2, "cosine", 1, ordered)
                assert_same_plan(ops.bipartite_match(*args), reference.bipartite_match(*args))
        for shape in MERGES:
            rows, size, assign = make_merge(*shape)
            results = merge_all(rows, size, assign, shape[2])
            results.append(ops.slot_sum(rows, None, assign, shape[2]))
            assert all(bool(torch.isfinite(x).all()) for x in results)


@needs_native
def test_ops_are_well_formed():
    features, protected = make_match(2, 11, 1)
    for ordered in (True, False):
        torch.library.opcheck(torch.ops.rmeeto.bipartite_match, (features, protected, 3, ordered))
    rows, size, assign = make_merge(2, 8, 3, 4)
    rows.requires_grad_()
    torch.library.opcheck(torch.ops.rmeeto.slot_sum, (rows, size, assign, 3))
    torch.library.opcheck(torch.ops.rmeeto.slot_sum, (rows, None, assign, 3))
    torch.library.opcheck(torch.ops.rmeeto.slot_gather, (torch.ones(2, 3, 4), size, assign))
    torch.library.opcheck(torch.ops.rmeeto.merge_tokens, (rows, size, assign, 3))


@needs_native
def test_slot_sum_differentiates_twice():
    rows, size, assign = make_merge(1, 6, 3, 2)
    rows = rows.requires_grad_()
    out = ops.slot_sum(rows, size, assign, 3)
    (grad,) = torch.autograd.grad(out.square().sum(), rows, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), rows)
    with backend("torch"):
        out = ops.slot_sum(rows, size, assign, 3)
        (grad,) = torch.autograd.grad(out.square().sum(), rows, create_graph=True)
        (expected,) = torch.autograd.grad(grad.sum(), rows)
    torch.testing.assert_close(second, expected)


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


@pytest.mark.parametrize("name", BACKENDS)
def test_match_flops_are_two_a_product(name):
    features, protected = make_match(2, 20, 0, width=8)
    with backend(name), FlopCounterMode(display=False) as counter:
        ops.bipartite_match(features, protected, 3)
    assert counter.get_total_flops() == 2 * 2 * 10 * 10 * 8


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    features, protected = make_match(1, 9, 0)
    with backend("native"), pytest.raises(BackendError, match="cosine"):
        ops.bipartite_match(features, protected, 1, "l1")
    with backend("native"), pytest.raises(BackendError, match="float32"):
        ops.slot_sum(features.double(), None, torch.zeros(1, 9, dtype=torch.int64), 1)
