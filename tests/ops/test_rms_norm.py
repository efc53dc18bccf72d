"""The norms against their float64 definition, on every backend and instruction set."""

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
from rmeeto.ops.rms_norm import reference

SHAPES = [(2, 3, 1), (5, 3), (87,), (1, 130, 87), (2, 33, 192), (0, 4, 8), (70, 16)]
EPS = 1e-5


def make(shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x, residual = (torch.randn(shape, generator=generator) for _ in range(2))
    weight = torch.randn(shape[-1], generator=generator)
    return x.to(dtype), residual, weight


def truth_of(function, inputs):
    return differentiate(
        lambda *args: function(*args, EPS, torch.float64), [x.double() for x in inputs]
    )


def compare(got, truth, tolerance):
    for results, truths in zip(got, truth, strict=True):
        for result, value in zip(results, truths, strict=True):
            assert_near(result, value, tolerance)


def test_definition_by_hand():
    x, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0])
    normed = reference.norm(x, weight, 0.0, torch.float64)
    assert torch.allclose(normed, torch.tensor([[3.0, 8.0]]).double() / 12.5**0.5)
    normed, stream = reference.add_norm(x - 1, torch.ones(1, 2), weight, 0.0, torch.float64)
    assert stream.tolist() == [[3.0, 4.0]]
    assert torch.allclose(normed, torch.tensor([[3.0, 8.0]]).double() / 12.5**0.5)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_norm_and_gradients(name, shape):
    x, _, weight = make(shape)
    with backend(name):
        got = differentiate(lambda *a: ops.rms_norm(*a, EPS), [x, weight])
    compare(got, truth_of(reference.norm, [x, weight]), 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_add_norm_and_gradients(name, shape):
    inputs = make(shape)
    with backend(name):
        got = differentiate(lambda *a: ops.add_rms_norm(*a, EPS), list(inputs))
    compare(got, truth_of(reference.add_norm, inputs), 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("unused", [0, 1])
def test_gradients_when_one_result_is_unused(name, unused):
    x, residual, weight = make((3, 20))

    def used(*args):
        return ops.add_rms_norm(*args, EPS)[1 - unused]

    def truth(*args):
        return reference.add_norm(*args)[1 - unused]

    with backend(name):
        got = differentiate(used, [x, residual, weight])
    compare(got, truth_of(truth, (x, residual, weight)), 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_types(name, given, wanted):
    x, residual, weight = make((4, 50), dtype=given)
    with backend(name):
        got = differentiate(lambda *a: ops.rms_norm(*a, EPS, wanted), [x, weight])
        got_add = differentiate(lambda *a: ops.add_rms_norm(*a, EPS, wanted), [x, residual, weight])
        default = ops.rms_norm(x, weight)
    assert (got[0][0].dtype, default.dtype) == (wanted, given)
    assert [y.dtype for y in got_add[0]] == [wanted, torch.float32]
    assert [g.dtype for g in got_add[1]] == [given, torch.float32, torch.float32]
    compare(got, truth_of(reference.norm, [x, weight]), 2**-7)
    compare(got_add, truth_of(reference.add_norm, [x, residual, weight]), 2**-7)


@pytest.mark.parametrize("name", BACKENDS)
def test_without_a_residual_the_stream_is_x(name):
    x, _, weight = make((3, 7), dtype=torch.bfloat16)
    with backend(name):
        normed, stream = ops.add_rms_norm(x, None, weight)
        assert torch.equal(normed, ops.rms_norm(x.float(), weight, dtype=torch.bfloat16))
    assert stream.dtype == torch.float32
    assert torch.equal(stream, x.float())


@pytest.mark.parametrize("name", BACKENDS)
def test_any_strides(name):
    x, residual, weight = make((4, 6, 40))
    for change in (
        lambda t: t.transpose(0, 1),
        lambda t: t[:, ::2],
        lambda t: t[..., ::2],
        lambda t: t[:1].expand(4, -1, -1),
    ):
        views = [change(x), change(residual), weight[: change(x).shape[-1]]]
        with backend(name):
            got = differentiate(lambda *a: ops.add_rms_norm(*a, EPS), views)
        compare(got, truth_of(reference.add_norm, views), 3e-6)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_thread_count_changes_no_bit(isa):
    inputs = make((2500, 300))
    results = []
    for count in (1, 2):
        with backend(f"native-{isa}"), threads(count):
            results.append(everything(ops.add_rms_norm, list(inputs)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_nothing_it_did_not_write(isa, shape):
    with backend(f"native-{isa}"), poisoned_memory():
        results = everything(ops.add_rms_norm, list(make(shape)))
    assert all(bool(torch.isfinite(x).all()) for x in results)


@needs_native
def test_ops_are_well_formed():
    x, residual, weight = (t.requires_grad_() for t in make((2, 3, 9)))
    torch.library.opcheck(torch.ops.rmeeto.rms_norm, (x, weight, EPS, torch.bfloat16))
    torch.library.opcheck(torch.ops.rmeeto.add_rms_norm, (x, residual, weight, EPS, torch.float32))
    args = tuple(t.detach() for t in (x, residual, residual, weight))
    torch.library.opcheck(torch.ops.rmeeto.rms_norm_backward, (*args, EPS))


class Norm(torch.nn.Module):
    def forward(self, x, residual, weight):
        return ops.add_rms_norm(x, residual, weight)


@pytest.mark.parametrize("name", BACKENDS)
def test_compiles_and_exports(name):
    inputs = make((2, 3, 9))
    with backend(name):
        expected = everything(Norm(), list(inputs))
        compiled = torch.compile(Norm(), backend="aot_eager", fullgraph=True)
        for a, b in zip(everything(compiled, list(inputs)), expected, strict=True):
            torch.testing.assert_close(a, b)
        program = torch.export.export(Norm(), inputs)
        for a, b in zip(program.module()(*inputs), expected[:2], strict=True):
            torch.testing.assert_close(a, b)


def test_refuses():
    with pytest.raises(ShapeError):
        ops.rms_norm(torch.ones(2, 3), torch.ones(2))
    with pytest.raises(ShapeError):
        ops.add_rms_norm(torch.ones(2, 3), torch.ones(3), torch.ones(3))


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    with backend("native"), pytest.raises(BackendError, match="float64"):
        ops.rms_norm(torch.ones(2, 3).double(), torch.ones(3).double())
