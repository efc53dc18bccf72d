"""The linear layer against its float64 definition, by both libraries."""

import pytest
import torch
import torch.nn.functional as F
from op_checks import assert_near, differentiate, threads
from torch.utils.flop_counter import FlopCounterMode

import rmeeto
from rmeeto import ops
from rmeeto.backbones.blocks import Linear
from rmeeto.ops import dispatch
from rmeeto.ops.explain import products
from rmeeto.ops.linear import onednn, reference

SHAPES = [(5, 3, 7), (1, 1, 1), (87, 87, 1), (197, 64, 256), (6, 384, 44), (0, 4, 8), (2, 9, 64, 17)]
TOLERANCE = 3e-6


@pytest.fixture
def forced(monkeypatch):
    """oneDNN takes every product, whatever the processor and however small."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch comes without oneDNN's products")
    monkeypatch.setattr(onednn, "missing", lambda: "")
    monkeypatch.setattr(onednn, "WORTH", 0)


def make(shape, dtype=torch.float32):
    *rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(0)
    sizes = (*rows, inputs), (outputs, inputs), (outputs,)
    return [torch.randn(size, generator=generator, dtype=dtype) for size in sizes]


def check(inputs):
    got = differentiate(ops.linear, inputs)
    truth = differentiate(reference.linear, [x.double() for x in inputs])
    for results, truths in zip(got, truth, strict=True):
        for result, value in zip(results, truths, strict=True):
            assert_near(result, value, TOLERANCE)


def test_definition_by_hand():
    x, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert reference.linear(x, weight, torch.tensor([10.0, 20.0])).tolist() == [[21.0, 22.0]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
def test_product_and_gradients(forced, shape, bias):
    check(make(shape)[: 2 + bias])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("full_width", [True, False])
def test_gradients_by_either_library(forced, monkeypatch, shape, full_width):
    monkeypatch.setattr(onednn, "full_width", lambda: full_width)
    check(make(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_this_machine_chooses(shape):
    check(make(shape))


@pytest.mark.parametrize(("family", "full"), [("23", False), ("25", False), ("26", True), ("", False)])
def test_processors_with_full_width(monkeypatch, family, full):
    monkeypatch.setattr(onednn, "_processor", {"cpu family": family}.__getitem__)
    assert onednn.full_width.__wrapped__() is full


def test_strides_do_not_matter(forced):
    x, weight, bias = make((33, 40, 24))
    expected = ops.linear(x, weight, bias)
    assert_near(ops.linear(x.t().contiguous().t(), weight, bias), expected.double(), TOLERANCE)
    assert_near(ops.linear(x, weight.t().contiguous().t(), bias), expected.double(), TOLERANCE)
    assert_near(ops.linear(x.repeat(1, 2)[:, :40], weight, bias), expected.double(), TOLERANCE)


def test_threads_do_not_matter(forced):
    inputs = make((788, 64, 256))
    with threads(1):
        alone = differentiate(ops.linear, inputs)
    with threads(2):
        both = differentiate(ops.linear, inputs)
    for one, two in zip(alone[0] + alone[1], both[0] + both[1], strict=True):
        assert_near(two, one.double(), TOLERANCE)


def test_op_is_sound(forced):
    inputs = [x.requires_grad_() for x in make((4, 5, 6))]
    torch.library.opcheck(torch.ops.rmeeto.linear, inputs)
    torch.library.opcheck(torch.ops.rmeeto.linear, (*inputs[:2], None))


def test_second_derivative(forced):
    x, weight, bias = (v.requires_grad_() for v in make((4, 5, 6)))

    def curvature(linear):
        (slope,) = torch.autograd.grad(linear(x, weight, bias).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weight)[0]

    assert_near(curvature(ops.linear), curvature(F.linear).double(), 1e-5)


def test_operations_are_counted(forced):
    x, weight, bias = make((7, 10, 11))
    with FlopCounterMode(display=False) as counter:
        torch.ops.rmeeto.linear(x, weight, bias)
    assert counter.get_total_flops() == 2 * 7 * 10 * 11


def test_when_torch_keeps_the_product(forced):
    x, weight, _ = make((4, 5, 6))
    assert onednn.obstacle(x, weight) is None
    assert onednn.obstacle(x.double(), weight.double())
    assert onednn.obstacle(x.bfloat16(), weight.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert onednn.obstacle(x, weight)
        assert ops.linear(x, weight).dtype == torch.bfloat16


def test_backend_is_obeyed(forced, monkeypatch):
    def refuse(*_):
        raise AssertionError("oneDNN was asked")

    monkeypatch.setattr(onednn, "obstacle", refuse)
    for name in ("torch", "reference"):
        with dispatch.use(name):
            ops.linear(*make((4, 5, 6)))


def test_the_choice_is_explained(forced, monkeypatch):
    assert products()["backend"] == "onednn"
    with dispatch.use("torch"):
        assert products()["backend"] == "torch"
    monkeypatch.setattr(onednn, "missing", lambda: "no such library")
    assert (products()["backend"], products()["why"]) == ("torch", "no such library")


def test_a_compiled_graph_is_torchs_own(forced):
    layer, x = Linear(5, 6), make((4, 5, 6))[0]
    graph = torch.export.export(layer, (x,)).graph
    assert not any("rmeeto" in str(node.target) for node in graph.nodes)


@pytest.mark.parametrize("name", ["vim_test", "vit_test"])
def test_models_agree(forced, name):
    model = rmeeto.create_model(name, seed=0).eval()
    size = 2, model.config.in_chans, *model.config.image_hw
    images = torch.randn(size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = model(images)
        with dispatch.use("torch"):
            expected = model(images)
    assert_near(found, expected.double(), 1e-4)
