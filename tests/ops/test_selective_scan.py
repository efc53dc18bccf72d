"""Selective scan: every backend and instruction set against its definition in float64."""

import itertools

import pytest
import torch
from op_checks import BACKENDS, ISAS, backend, needs_native, poisoned_memory, threads
from scan_cases import NAMES, as_float64, assert_scan_right, cotangent, grads, scan_inputs
from torch.utils.flop_counter import FlopCounterMode

from rmeeto import ops
from rmeeto.errors import BackendError, ShapeError
from rmeeto.ops import dispatch
from rmeeto.ops.selective_scan import selective_scan_reference, selective_scan_torch

ON = {"delta_softplus": True}
OPTIONAL = ("D", "z", "delta_bias")
NATIVE = [f"native-{isa}" for isa in ISAS]
everywhere = pytest.mark.parametrize("where", BACKENDS)
each_isa = pytest.mark.parametrize("where", NATIVE)


# ---- mamba-ssm's own grids, with float64 as truth and tighter limits than upstream's


@needs_native
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("length", [128, 256, 512, 1024, 2048, 4096])
def test_upstream_grid(length, groups):
    inputs = scan_inputs(2, 4, 8, length, groups)
    with torch.no_grad():
        truth, truth_state = selective_scan_reference(**as_float64(inputs), **ON)
        with dispatch.use("native"):
            out, state = ops.selective_scan(**inputs, **ON, return_last_state=True)
    torch.testing.assert_close(out.double(), truth, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(state.double(), truth_state, rtol=1e-5, atol=1e-4)


@needs_native
@pytest.mark.parametrize("length", [512, 1024, pytest.param(4096, marks=pytest.mark.slow)])
def test_upstream_grid_gradients(length):
    with dispatch.use("native"):
        assert_scan_right(scan_inputs(2, 4, 8, length, 2), long=True, **ON)


@everywhere
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
def test_every_option(where, dtype, constant):
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 5e-3, torch.float16: 7e-4}[dtype]
    subsets = itertools.chain.from_iterable(itertools.combinations(OPTIONAL, n) for n in range(4))
    for number, absent in enumerate(subsets):
        groups = (None, 1, 2)[number % 3]
        inputs = scan_inputs(2, 4, 8, 12, groups, constant, absent, dtype, seed=number)
        options = {"delta_softplus": number % 2 == 0, "reverse": number % 3 == 0}
        with backend(where):
            assert_scan_right(inputs, tolerance, **options)


@each_isa
@pytest.mark.parametrize("length", [8, 16, 32, 64, 128, 256, 372, 512, 784, 1024, 1134])
def test_lengths(where, length):
    inputs = scan_inputs(1, 5, 4, length)
    with torch.no_grad():
        truth, _ = selective_scan_torch(**as_float64(inputs), **ON)
        with backend(where):
            out = ops.selective_scan(**inputs, **ON)
    torch.testing.assert_close(out.double(), truth, rtol=1e-5, atol=1e-4)


# ---- shapes


@everywhere
def test_every_state_size(where):
    for states in (*range(1, 18), 32):
        with backend(where):
            assert_scan_right(scan_inputs(2, 19, states, 5, seed=states), **ON)


@everywhere
@pytest.mark.parametrize(
    ("batch", "channels", "states", "length", "groups"),
    [
        (1, 1, 1, 1, None),
        (3, 87, 1, 9, None),
        (1, 106, 3, 20, 2),
        (2, 384, 16, 7, None),
        (2, 48, 8, 6, 4),
        (1, 64, 1, 49, 4),
        (2, 300, 4, 3, None),
    ],
)
def test_shapes(where, batch, channels, states, length, groups):
    with backend(where):
        assert_scan_right(scan_inputs(batch, channels, states, length, groups), **ON)


@each_isa
@pytest.mark.parametrize("length", [256, 257, 320, 321])
@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
def test_checkpointed_backward(where, length, constant):
    """Above 256 steps the backward restarts from checkpoints every 64."""
    inputs = scan_inputs(2, 20, 3, length, constant=constant)
    with backend(where), poisoned_memory():
        assert_scan_right(inputs, long=True, reverse=True, **ON)


@everywhere
@pytest.mark.parametrize("shape", [(0, 4, 3, 5), (2, 4, 3, 0)], ids=["no images", "no tokens"])
def test_empty(where, shape):
    inputs = scan_inputs(*shape)
    with backend(where):
        found = grads(ops.selective_scan, inputs, torch.empty_like(inputs["u"]), **ON)
        state = ops.selective_scan(**inputs, return_last_state=True)[1]
    assert found["out"].shape == inputs["u"].shape
    assert all(found[name].eq(0).all() for name in NAMES)
    assert state.shape == (shape[0], 4, 3)
    assert state.eq(0).all()


@everywhere
@pytest.mark.parametrize("reverse", [False, True])
def test_last_state(where, reverse):
    inputs = scan_inputs(2, 21, 5, 70)
    _, truth = selective_scan_reference(**as_float64(inputs), **ON, reverse=reverse)
    leaf = inputs["u"].clone().requires_grad_()
    with backend(where):
        out, state = ops.selective_scan(
            **{**inputs, "u": leaf}, **ON, return_last_state=True, reverse=reverse
        )
    torch.testing.assert_close(state.double(), truth, rtol=1e-5, atol=1e-5)
    assert state.dtype == torch.float32
    assert out.requires_grad
    assert not state.requires_grad


def test_reverse_is_flip_scan_flip():
    inputs = scan_inputs(2, 6, 4, 11, groups=2)
    flipped = {
        n: x.flip(-1) if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()
    }
    for name in BACKENDS:
        with backend(name):
            one = ops.selective_scan(**inputs, reverse=True, **ON)
            two = ops.selective_scan(**flipped, **ON).flip(-1)
        torch.testing.assert_close(one, two)


# ---- memory: strides, poison, neighbours


def _layouts(x):
    """The same values in other layouts."""
    yield "contiguous", x.contiguous()
    wide = x.new_full((*x.shape[:-2], x.shape[-1] + 3, 2 * x.shape[-2] + 5), float("nan"))
    inner = wide[..., 1 : 1 + x.shape[-1], 2 : 2 + x.shape[-2]].transpose(-1, -2)
    yield "slice of wider rows", inner.copy_(x)
    every_other = x.new_full((*x.shape[:-2], x.shape[-1], 2 * x.shape[-2]), float("nan"))
    yield "every other column", every_other[..., ::2].transpose(-1, -2).copy_(x)
    yield "batch outside in", x.movedim(0, -1).contiguous().movedim(-1, 0)


@each_isa
@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_layouts_and_neighbours(where, groups, dtype):
    """Same bits whatever the strides; NaN around the tensors is never read."""
    inputs = scan_inputs(3, 38, 5, 9, groups, dtype=dtype)
    grad = cotangent(inputs).to(dtype)
    with backend(where), poisoned_memory():
        truth = grads(ops.selective_scan, inputs, grad, **ON)
        for name in ("u", "delta", "B", "C", "z"):
            for layout, x in _layouts(inputs[name]):
                found = grads(ops.selective_scan, {**inputs, name: x}, grad, **ON)
                for key in truth:
                    assert found[key].equal(truth[key]), (name, layout, key)
        for layout, x in _layouts(grad):
            found = grads(ops.selective_scan, inputs, x, **ON)
            assert all(found[key].equal(truth[key]) for key in truth), layout
        expanded = grads(ops.selective_scan, inputs, grad[:, :1, :1].expand_as(grad), **ON)
        assert all(x.isfinite().all() for x in expanded.values())


@each_isa
def test_weights_of_any_layout(where):
    inputs = scan_inputs(2, 24, 6, 5, constant="BC")
    other = dict(inputs)
    for name in ("A", "B", "C"):
        other[name] = inputs[name].t().contiguous().t()
    for name in ("D", "delta_bias"):
        other[name] = torch.stack([inputs[name], inputs[name]], 1)[:, 0]
    grad = cotangent(inputs)
    with backend(where):
        one, two = (grads(ops.selective_scan, i, grad, **ON) for i in (inputs, other))
    assert all(one[name].equal(two[name]) for name in one)


@each_isa
def test_output_is_channels_last(where):
    inputs = {name: x.contiguous() for name, x in scan_inputs(2, 6, 4, 5).items()}
    with backend(where):
        assert ops.selective_scan(**inputs).transpose(1, 2).is_contiguous()


@everywhere
def test_nan_in_an_input_shows(where):
    for name in NAMES:
        inputs = scan_inputs(1, 20, 4, 6)
        inputs[name] = inputs[name].clone()
        inputs[name][(0,) * inputs[name].ndim] = float("nan")
        with backend(where):
            assert ops.selective_scan(**inputs, **ON).isnan().any(), name


@everywhere
def test_extremes_agree_with_the_definition(where):
    """Decays that underflow, gates and steps at the ends of float32."""
    values = torch.tensor([-1e4, -200.0, -87.0, -20.0, -1e-6, 0.0, 1e-6, 20.0, 87.0, 200.0, 1e4])
    inputs = scan_inputs(1, 11, 2, 11)
    inputs["delta"] = values.repeat(11, 1)[None]
    inputs["z"] = values.repeat(11, 1).t()[None]
    with backend(where):
        out = ops.selective_scan(**inputs, **ON)
    truth, _ = selective_scan_reference(**as_float64(inputs), **ON)
    torch.testing.assert_close(out.double(), truth, rtol=2e-5, atol=1e-5)


@everywhere
def test_growing_states_overflow_as_in_torch(where):
    inputs = scan_inputs(1, 3, 2, 40, absent=OPTIONAL)
    inputs["A"] = torch.full_like(inputs["A"], 60.0)
    with backend(where):
        out = ops.selective_scan(**inputs)
    truth, _ = selective_scan_reference(**inputs)
    small = truth.abs() < 1e30
    torch.testing.assert_close(out[small], truth[small], rtol=1e-3, atol=1e-3)
    assert not out[~truth.isfinite()].isfinite().any()


def test_slow_decay_does_not_drift():
    """A decay of almost one, 4096 times: a biased exponential would show here."""
    inputs = scan_inputs(1, 16, 4, 4096, absent=OPTIONAL)
    inputs["A"], inputs["delta"] = inputs["A"] * 1e-3, inputs["delta"] * 1e-2
    _, truth = selective_scan_reference(**as_float64(inputs))
    for name in NATIVE:
        with backend(name):
            _, state = ops.selective_scan(**inputs, return_last_state=True)
        torch.testing.assert_close(state.double(), truth, rtol=3e-5, atol=1e-5)


# ---- determinism


@each_isa
@pytest.mark.parametrize("reverse", [False, True])
def test_same_bits_at_any_thread_count(where, reverse):
    inputs = scan_inputs(3, 290, 16, 300)
    grad = cotangent(inputs)
    found = []
    with backend(where), poisoned_memory():
        for count in (1, 2, 3, 2):
            with threads(count):
                found.append(grads(ops.selective_scan, inputs, grad, reverse=reverse, **ON))
    for other in found[1:]:
        for name in other:
            assert other[name].equal(found[0][name]), name


@each_isa
def test_an_image_does_not_depend_on_its_batch(where):
    inputs = scan_inputs(4, 40, 8, 30)
    alone = {n: x[1:2] if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()}
    with backend(where):
        together = ops.selective_scan(**inputs, **ON)[1:2]
        assert together.equal(ops.selective_scan(**alone, **ON))


# ---- torch: op checks, compile, export, autocast, FLOPs


def _op_arguments(**case):
    inputs = scan_inputs(2, 6, 3, 5, **case)
    tensors = [inputs.get(name) for name in NAMES]
    return [None if x is None else x.requires_grad_() for x in tensors]


@needs_native
@pytest.mark.parametrize(
    "case", [{}, {"groups": 2}, {"constant": "BC"}, {"absent": OPTIONAL}], ids=str
)
def test_opcheck(case):
    arguments = _op_arguments(**case)
    torch.library.opcheck(torch.ops.rmeeto.selective_scan, (*arguments, True, False, True))
    plain = [None if x is None else x.detach() for x in arguments]
    grad = torch.ones(2, 6, 5)
    torch.library.opcheck(torch.ops.rmeeto.selective_scan_backward, (grad, *plain, True, True))


class _Scan(torch.nn.Module):
    def forward(self, *tensors):
        return ops.selective_scan(*tensors, delta_softplus=True, return_last_state=True)


@pytest.mark.parametrize("name", ["torch", pytest.param("native", marks=needs_native)])
def test_compile_and_export(name):
    arguments = _op_arguments()
    with dispatch.use(name):
        compiled = torch.compile(_Scan(), fullgraph=True, backend="aot_eager")
        plain = _Scan()(*arguments)
        traced = compiled(*arguments)
        for got, expected in zip(traced, plain, strict=True):
            torch.testing.assert_close(got, expected)
        for got, expected in zip(
            torch.autograd.grad(traced[0].sum(), arguments),
            torch.autograd.grad(plain[0].sum(), arguments),
            strict=True,
        ):
            torch.testing.assert_close(got, expected)
        exported = torch.export.export(_Scan(), tuple(x.detach() for x in arguments))
        torch.testing.assert_close(exported.module()(*arguments)[0], plain[0])


@everywhere
def test_autocast_mixes_types(where):
    """Under autocast projections come in bfloat16 and step sizes may stay float32."""
    inputs = scan_inputs(2, 20, 4, 7)
    for name in ("u", "B", "C", "z"):
        inputs[name] = inputs[name].bfloat16()
    with backend(where), torch.autocast("cpu", torch.bfloat16):
        assert_scan_right(inputs, 5e-3, **ON)


@needs_native
def test_flop_formula():
    inputs = {name: x.requires_grad_() for name, x in scan_inputs(2, 3, 4, 5).items()}
    with dispatch.use("native"), FlopCounterMode(display=False) as counter:
        ops.selective_scan(**inputs).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 3 * 5 * (9 * 4 + 2)


def test_torch_body_gradcheck():
    case = scan_inputs(1, 4, 2, 3, groups=2)
    inputs = [x.double().requires_grad_() for x in case.values()]

    def run(*tensors):
        return selective_scan_torch(*tensors, delta_softplus=True, reverse=True)[0]

    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_reference_and_torch_body_agree_in_float64():
    for case in ({}, {"groups": 2}, {"constant": "B", "groups": 2}, {"constant": "BC"}):
        inputs = as_float64(scan_inputs(2, 6, 3, 7, **case))
        grad = cotangent(inputs)
        one = grads(selective_scan_reference, inputs, grad, **ON)
        two = grads(selective_scan_torch, inputs, grad, **ON)
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=1e-12, atol=1e-12)
        assert grads(ops.selective_scan, inputs, grad, **ON)["out"].dtype == torch.float64


# ---- errors


def test_complex_is_refused():
    inputs = scan_inputs()
    inputs["A"] = inputs["A"].to(torch.complex64)
    with pytest.raises(ShapeError, match="real") as caught:
        ops.selective_scan(**inputs)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("u", (2, 4)),
        ("delta", (2, 16, 4)),
        ("A", (8, 4)),
        ("A", (4,)),
        ("B", (2, 16, 8)),
        ("B", (2, 3, 8, 16)),
        ("C", (2, 2, 8, 16)),
        ("C", (8, 4)),
        ("D", (8,)),
        ("z", (2, 4, 15)),
        ("delta_bias", (4, 1)),
    ],
)
def test_misfits_are_refused(name, shape):
    inputs = scan_inputs()
    inputs[name] = torch.zeros(shape)
    with pytest.raises(ShapeError) as caught:
        ops.selective_scan(**inputs)
    assert len(str(caught.value).splitlines()) == 3


@needs_native
def test_native_has_no_second_derivative():
    inputs = scan_inputs()
    u = inputs["u"].requires_grad_()
    with dispatch.use("native"):
        out = ops.selective_scan(**inputs)
        (first,) = torch.autograd.grad(out.sum(), u, create_graph=True)
        with pytest.raises(BackendError, match="second derivative"):
            first.sum().backward()


@needs_native
def test_float64_is_not_for_the_kernel():
    inputs = as_float64(scan_inputs())
    with dispatch.use("native"), pytest.raises(BackendError, match="float64"):
        ops.selective_scan(**inputs)
