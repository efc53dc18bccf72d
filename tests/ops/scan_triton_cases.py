"""The Triton scan on CPU tensors, which needs TRITON_INTERPRET=1: `test_scan_triton.py` runs this file.

Triton's interpreter cuts bfloat16 off where a GPU rounds, hence that tolerance: one unit in the last place.
"""

import itertools

import pytest
import torch
from op_checks import assert_near
from scan_cases import NAMES, as_float64, assert_scan_right, cotangent, grads, scan_inputs

from rmeeto import ops
from rmeeto.errors import BackendError
from rmeeto.ops import dispatch
from rmeeto.ops.bidirectional_mamba import Direction, bidirectional_mamba
from rmeeto.ops.explain import explain
from rmeeto.ops.selective_scan import selective_scan_reference, triton_launch

ON = {"delta_softplus": True}
OPTIONAL = ("D", "z", "delta_bias")
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 7e-4}


@pytest.fixture(autouse=True)
def _forced():
    """Triton for all, and NaN in fresh memory: reading scratch before writing it shows."""
    torch.use_deterministic_algorithms(True)  # makes torch.empty give NaN
    with dispatch.use("triton"):
        yield
    torch.use_deterministic_algorithms(False)


def test_what_is_forced_runs(monkeypatch):
    calls = []
    for name in ("forward", "backward"):
        body = getattr(triton_launch, name)
        monkeypatch.setattr(
            triton_launch, name, lambda *a, body=body, name=name: calls.append(name) or body(*a)
        )
    assert_scan_right(scan_inputs(1, 3, 2, 2), **ON)
    assert calls == ["forward", "backward"]
    backends = {row["op"]: row["backend"] for row in explain()}
    assert backends["selective_scan"] == "triton"
    assert backends["rms_norm"] == "torch"


@pytest.mark.parametrize("constant", ["", "B", "C", "BC"])
@pytest.mark.parametrize("dtype", list(TOLERANCES), ids=str)
def test_every_option(dtype, constant):
    subsets = itertools.chain.from_iterable(itertools.combinations(OPTIONAL, n) for n in range(4))
    for number, absent in enumerate(subsets):
        groups = (None, 1, 2)[number % 3]
        inputs = scan_inputs(1, 4, 2, 2, groups, constant, absent, dtype, seed=number)
        options = {"delta_softplus": number % 2 == 0, "reverse": number % 3 == 0}
        assert_scan_right(inputs, TOLERANCES[dtype], **options)


@pytest.mark.parametrize("states", range(1, 18))
def test_every_state_size(states):
    assert_scan_right(scan_inputs(1, 5, states, 2, seed=states), **ON)


@pytest.mark.parametrize(
    ("batch", "channels", "states", "length", "groups"),
    [
        (1, 1, 1, 1, None),
        (2, 87, 3, 5, None),
        (1, 106, 2, 4, 2),
        (2, 48, 2, 3, 4),
        (1, 64, 1, 7, 1),
        (1, 33, 16, 2, None),
        (1, 3, 256, 1, None),
    ],
)
def test_shapes(batch, channels, states, length, groups):
    assert_scan_right(scan_inputs(batch, channels, states, length, groups), reverse=True, **ON)


@pytest.mark.parametrize(
    ("constant", "dtype"), [("", torch.float32), ("BC", torch.float32), ("B", torch.bfloat16)]
)
def test_more_states_than_a_launch_holds(constant, dtype):
    inputs = scan_inputs(1, 4, 35, 2, constant=constant, dtype=dtype)
    assert_scan_right(inputs, TOLERANCES[dtype], **ON)


@pytest.mark.parametrize(
    ("length", "reverse"), [(2, True), (3, False), (4, True), (5, False), (16, False), (17, True)]
)
def test_checkpoints(length, reverse):
    """Segments of about √L steps, the last one full or not."""
    assert_scan_right(scan_inputs(1, 3, 2, length), reverse=reverse, **ON)


@pytest.mark.parametrize("shape", [(0, 4, 3, 5), (2, 4, 3, 0)], ids=["no images", "no tokens"])
def test_empty(shape):
    inputs = scan_inputs(*shape)
    found = grads(ops.selective_scan, inputs, torch.empty_like(inputs["u"]), **ON)
    state = ops.selective_scan(**inputs, return_last_state=True)[1]
    assert found["out"].shape == inputs["u"].shape
    assert all(found[name].eq(0).all() for name in NAMES)
    assert state.shape == (shape[0], 4, 3)
    assert state.eq(0).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("states", [3, 18])
def test_last_state(states, reverse):
    inputs = scan_inputs(2, 5, states, 4)
    _, truth = selective_scan_reference(**as_float64(inputs), **ON, reverse=reverse)
    out, state = ops.selective_scan(**inputs, **ON, return_last_state=True, reverse=reverse)
    torch.testing.assert_close(state.double(), truth, rtol=1e-5, atol=1e-5)
    assert state.dtype == torch.float32
    assert out.transpose(1, 2).is_contiguous()


def _layouts(x):
    """The same values with other strides, NaN in between."""
    yield x.contiguous()
    wide = torch.full((*x.shape[:-1], 2 * x.shape[-1] + 1), float("nan"), dtype=x.dtype)
    wide[..., 1::2] = x
    yield wide[..., 1::2]
    wide = torch.full((x.shape[-1], *x.shape[:-1][::-1], 2), float("nan"), dtype=x.dtype)
    wide[..., 0] = x.permute(*reversed(range(x.ndim)))
    yield wide[..., 0].permute(*reversed(range(x.ndim)))


def test_layouts():
    """Same bits whatever the strides; NaN around the tensors is never read."""
    inputs = scan_inputs(2, 4, 1, 2, groups=2)
    grad = cotangent(inputs)
    truth = grads(ops.selective_scan, inputs, grad, **ON)
    for name in ("u", "delta", "A", "B", "C", "z", "D", "delta_bias"):
        for x in _layouts(inputs[name]):
            found = grads(ops.selective_scan, {**inputs, name: x}, grad, **ON)
            assert all(found[key].equal(truth[key]) for key in truth), name
    for x in _layouts(grad):
        found = grads(ops.selective_scan, inputs, x, **ON)
        assert all(found[key].equal(truth[key]) for key in truth)


def test_nan_in_an_input_shows():
    for name in NAMES:
        inputs = scan_inputs(1, 5, 2, 3)
        inputs[name] = inputs[name].clone()
        inputs[name][(0,) * inputs[name].ndim] = float("nan")
        assert ops.selective_scan(**inputs, **ON).isnan().any(), name


def test_extremes_agree_with_the_definition():
    """Decays that underflow, gates and steps at the ends of float32."""
    values = torch.tensor([-1e4, -200.0, -87.0, -20.0, -1e-6, 0.0, 1e-6, 20.0, 87.0, 200.0, 1e4])
    inputs = scan_inputs(1, 11, 2, 11)
    inputs["delta"] = values.repeat(11, 1)[None]
    inputs["z"] = values.repeat(11, 1).t()[None]
    grad = cotangent(inputs)
    found = grads(ops.selective_scan, inputs, grad, **ON)
    truth = grads(selective_scan_reference, as_float64(inputs), grad, **ON)
    torch.testing.assert_close(found["out"].double(), truth["out"], rtol=2e-5, atol=1e-5)
    for name, expected in truth.items():
        assert_near(found[name], expected, 2e-5, name)


def test_an_image_does_not_depend_on_its_batch():
    inputs = scan_inputs(3, 40, 2, 3)
    alone = {n: x[1:2] if n in ("u", "delta", "B", "C", "z") else x for n, x in inputs.items()}
    together = ops.selective_scan(**inputs, **ON)[1:2]
    assert together.equal(ops.selective_scan(**alone, **ON))


@pytest.mark.parametrize(
    "case", [{}, {"groups": 2}, {"constant": "BC"}, {"absent": OPTIONAL}], ids=str
)
def test_opcheck(case):
    inputs = scan_inputs(1, 4, 2, 2, **case)
    plain = [inputs.get(name) for name in NAMES]
    leaves = [None if x is None else x.clone().requires_grad_() for x in plain]
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    forward, backward = torch.ops.rmeeto.selective_scan, torch.ops.rmeeto.selective_scan_backward
    torch.library.opcheck(forward, (*leaves, True, False, True), test_utils=tests)
    torch.library.opcheck(backward, (torch.ones(1, 4, 2), *plain, True, True), test_utils=tests)


def test_autocast_mixes_types():
    inputs = scan_inputs(1, 5, 2, 3)
    for name in ("u", "B", "C", "z"):
        inputs[name] = inputs[name].bfloat16()
    assert_scan_right(inputs, TOLERANCES[torch.bfloat16], **ON)


def test_both_directions_of_a_block():
    """Where the fused op has no Triton kernel, its composition uses this one."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    ways = [
        Direction(
            draw(4, 1, 4), draw(4), draw(6, 4), draw(4, 2), draw(4), draw(4, 2) * 0.1, draw(4)
        )
        for _ in range(2)
    ]
    xz = draw(1, 3, 8)
    found = bidirectional_mamba(xz, *ways)
    with dispatch.use("reference"):
        truth = bidirectional_mamba(
            xz.double(), *(Direction(*(p.double() for p in way)) for way in ways)
        )
    assert_near(found, truth, 1e-5)


def test_what_the_kernel_can_not():
    inputs = scan_inputs(1, 3, 2, 2)
    with pytest.raises(BackendError, match="float64"):
        ops.selective_scan(**as_float64(inputs))
    u = inputs["u"].requires_grad_()
    (first,) = torch.autograd.grad(ops.selective_scan(**inputs).sum(), u, create_graph=True)
    with pytest.raises(BackendError, match="second derivative"):
        first.sum().backward()
