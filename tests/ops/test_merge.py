"""Sums into slots and size-weighted means against float64, on every backend and instruction set."""

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

from rmeeto import ops
from rmeeto.errors import BackendError, ShapeError
from rmeeto.ops.merge import reference


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
        for wrong in (assign[:1], assign.int()):
            with pytest.raises(ShapeError):
                ops.slot_sum(rows, None, wrong, 3)
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
        for shape in MERGES:
            rows, size, assign = make_merge(*shape)
            results = merge_all(rows, size, assign, shape[2])
            results.append(ops.slot_sum(rows, None, assign, shape[2]))
            assert all(bool(torch.isfinite(x).all()) for x in results)


@needs_native
def test_ops_are_well_formed():
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


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    rows = torch.zeros(1, 9, 2).double()
    with backend("native"), pytest.raises(BackendError, match="float32"):
        ops.slot_sum(rows, None, torch.zeros(1, 9, dtype=torch.int64), 1)
