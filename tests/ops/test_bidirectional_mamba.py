"""The fused two-way mixing against its float64 definition, on every backend and instruction set."""

import pytest
import torch
from mixer_cases import Draw
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
from rmeeto.errors import BackendError, ShapeError
from rmeeto.ops import dispatch
from rmeeto.ops.bidirectional_mamba import Direction, scan_both

SHAPES = [  # batch, length, channels, states, rank
    (2, 9, 8, 4, 2),
    (3, 1, 87, 5, 3),
    (1, 33, 151, 16, 10),
    (5, 70, 64, 3, 4),
    (2, 300, 20, 17, 1),
    (0, 5, 8, 4, 2),
]


def make(batch, length, channels, states, rank, taps=4, dtype=torch.float32, seed=0):
    """xz and the parameters of both directions in one list."""
    draw, sizes = Draw(seed), (channels, states, rank, taps)
    xz = draw.normal(1.0, batch, length, 2 * channels).to(dtype)
    return [xz, *draw.direction(*sizes), *draw.direction(*sizes)]


def mix(xz, *weights):
    return ops.bidirectional_mamba(xz, Direction(*weights[:7]), Direction(*weights[7:]))


def define(xz, *weights):
    return scan_both(xz, Direction(*weights[:7]), Direction(*weights[7:]))[0]


def truth_of(inputs):
    """Output and gradients of the definition in float64."""
    with dispatch.use("torch"):
        return everything(define, [x.double() for x in inputs])


def assert_right(found, truth):
    assert_near(found[0], truth[0], 1e-6, "out")
    for i, (grad, expected) in enumerate(zip(found[1:], truth[1:], strict=True)):
        assert_near(grad, expected, 3e-6, f"gradient {i}")


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients(name, shape):
    inputs = make(*shape)
    with backend(name):
        found = everything(mix, inputs)
    assert all(x.dtype == torch.float32 for x in found)
    assert_right(found, truth_of(inputs))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("gradient", [False, True])
def test_features_are_those_of_the_definition(name, gradient):
    xz, *weights = make(3, 11, 20, 4, 3)
    ways = Direction(*weights[:7]), Direction(*weights[7:])
    out, pairs = scan_both(xz, *ways)
    with backend(name), torch.set_grad_enabled(gradient):
        found, features = ops.bidirectional_mamba(xz, *ways, features=("c", "b", "delta"))
        assert set(ops.bidirectional_mamba(xz, *ways, features={"b"})[1]) == {"b"}
    assert_near(found, out, 1e-6, "out")
    for key, pair in pairs.items():
        for got, expected in zip(features[key], pair, strict=True):
            assert not got.requires_grad
            assert_near(got, expected, 1e-6, key)


@needs_native
@pytest.mark.parametrize("taps", [2, 3])
def test_other_tap_counts(taps):
    inputs = make(2, 11, 20, 4, 3, taps)
    with backend("native"):
        assert_right(everything(mix, inputs), truth_of(inputs))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_bf16(name, kind):
    inputs = make(3, 40, 24, 8, 4, dtype=torch.bfloat16)
    inputs = [inputs[0], *(x.to(kind) for x in inputs[1:])]
    truth = truth_of(inputs)
    with backend(name), torch.autocast("cpu", torch.bfloat16):
        (out,), grads = differentiate(mix, inputs)
    assert out.dtype == torch.bfloat16
    assert [grad.dtype for grad in grads] == [x.dtype for x in inputs]
    assert_near(out, truth[0], 2**-5, "out")
    for i, (grad, expected) in enumerate(zip(grads, truth[1:], strict=True)):
        assert_near(grad, expected, 2**-4, f"gradient {i}")


@needs_native
def test_autocast_leaves_float32_alone():
    inputs = make(2, 9, 8, 4, 2)
    expected = everything(mix, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        found = everything(mix, inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@needs_native
@pytest.mark.parametrize("images", [15, 16, 17, 33, 48])
def test_gradients_are_summed_over_every_image(images):
    """The backward pass sums over groups of images, of which the last one may have fewer."""
    inputs = make(images, 21, 24, 4, 3)
    assert_right(everything(mix, inputs), truth_of(inputs))


@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_gradients_the_output_is_the_same(dtype):
    inputs = make(5, 21, 24, 4, 3, dtype=dtype)
    expected = everything(mix, inputs)[0]
    with torch.no_grad():
        assert torch.equal(mix(*inputs), expected)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("layout", ["channels first", "expanded", "every other token", "part"])
def test_any_strides(name, layout):
    xz, *weights = make(4, 12, 20, 4, 3)
    xz = {
        "channels first": xz.transpose(1, 2).contiguous().transpose(1, 2),
        "expanded": xz[:1].expand(4, -1, -1),
        "every other token": xz[:, ::2],
        "part": torch.cat([xz, xz], 2)[..., 5:45],
    }[layout]
    weights = [w.t().contiguous().t() if w.dim() == 2 else w for w in weights]
    with backend(name):
        assert_right(everything(mix, [xz, *weights]), truth_of([xz, *weights]))


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_thread_count_changes_no_bit(isa):
    inputs = make(9, 197, 128, 16, 4)
    results = []
    for count in (1, 2):
        with backend(f"native-{isa}"), threads(count):
            results.append(everything(mix, inputs))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3, 5])
def test_images_are_shared_out_in_parts_without_changing_a_bit(isa, dtype, batch):
    """Fewer images than threads, or a few more that leave some idle, are cut up."""
    xz, *weights = make(batch, 200, 151, 5, 3, dtype=dtype)
    ways = weights[:7], weights[7:]
    results = []
    for count in (1, 2, 4, 7):
        with backend(f"native-{isa}"), threads(count), poisoned_memory():
            results.append(torch.ops.rmeeto.bidirectional_mamba(xz, *ways, True))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))
    if dtype == torch.float32:
        with dispatch.use("torch"):
            truth = define(xz.double(), *(w.double() for w in weights))
        assert_near(results[0][0], truth, 1e-6)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("columns", [(1, 1), (4, 8), (1, 3), (12, 16), (24, 16), (48, 16), (7, 37)])
def test_projections_of_awkward_sizes(isa, columns):
    """Panels of every width, rows and depths that fill no vector."""
    rank, states = columns
    for length, channels in ((1, 1), (5, 17), (17, 87), (66, 33), (129, 16)):
        xz, *weights = make(2, length, channels, states, rank)
        ways = Direction(*weights[:7]), Direction(*weights[7:])
        doubles = [Direction(*(p.double() for p in way)) for way in ways]
        with dispatch.use("torch"):
            expected = scan_both(xz.double(), *doubles)[1]
        with backend(f"native-{isa}"), torch.no_grad():
            found = ops.bidirectional_mamba(xz, *ways, features=expected)[1]
        for key, pair in expected.items():
            for got, truth in zip(found[key], pair, strict=True):
                assert_near(got, truth, 1e-6, key)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_nothing_it_did_not_write(isa, shape):
    inputs = make(*shape)
    with backend(f"native-{isa}"), poisoned_memory():
        results = everything(mix, inputs)
    assert all(bool(torch.isfinite(x).all()) for x in results)


@needs_native
def test_ops_are_well_formed():
    xz, *weights = (x.detach().requires_grad_() for x in make(3, 5, 9, 4, 2))
    ways = weights[:7], weights[7:]
    torch.library.opcheck(torch.ops.rmeeto.bidirectional_mamba, (xz, *ways, True))
    out, projected = torch.ops.rmeeto.bidirectional_mamba(xz, *ways, True)
    plain = [x.detach() for x in (torch.ones_like(out), xz, projected)]
    ways = [[w.detach() for w in way] for way in ways]
    torch.library.opcheck(torch.ops.rmeeto.bidirectional_mamba_backward, (*plain, *ways))
    torch.library.opcheck(torch.ops.rmeeto.bidirectional_mamba, (plain[1], *ways, False))


class Mixer(torch.nn.Module):
    def forward(self, *inputs):
        return mix(*inputs)


@needs_native
def test_compiles_and_exports():
    inputs = make(2, 5, 9, 4, 2)
    with backend("native"):
        expected = everything(Mixer(), inputs)
        compiled = torch.compile(Mixer(), backend="aot_eager", fullgraph=True)
        for a, b in zip(everything(compiled, inputs), expected, strict=True):
            torch.testing.assert_close(a, b)
        program = torch.export.export(Mixer(), tuple(inputs))
        torch.testing.assert_close(program.module()(*inputs), expected[0])


@needs_native
def test_flops_are_those_of_the_definition():
    """PyTorch counts the definition's products itself, in both passes."""
    totals = []
    for function in (mix, define):
        with FlopCounterMode(display=False) as counter:
            everything(function, make(3, 20, 24, 4, 3))
        totals.append(counter.get_total_flops())
    assert totals[0] == totals[1] > 0


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    with backend("native"), pytest.raises(BackendError, match="2 to 4 taps"):
        mix(*make(1, 3, 4, 2, 1, taps=5))
    with backend("native"), pytest.raises(BackendError, match="parameters"):
        mix(*(x.double() for x in make(1, 3, 4, 2, 1)))


def test_what_the_kernel_lacks_runs_as_defined():
    for inputs in (make(2, 6, 5, 3, 2, taps=5), [x.double() for x in make(2, 6, 5, 3, 2)]):
        assert torch.equal(mix(*inputs), define(*inputs))


@needs_native
def test_second_derivative_is_refused():
    inputs = [x.requires_grad_() for x in make(1, 3, 4, 2, 1)]
    (grad,) = torch.autograd.grad(mix(*inputs).square().sum(), inputs[:1], create_graph=True)
    with pytest.raises(BackendError, match="second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize("place", range(15))
def test_refuses_shapes_that_do_not_fit(place):
    inputs = make(2, 6, 5, 3, 2)
    inputs[place] = torch.cat([inputs[place]] * 2, -1 if place == 0 else 0)
    with pytest.raises(ShapeError, match="bidirectional_mamba"):
        mix(*inputs)
