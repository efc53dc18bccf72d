"""A whole Vision Mamba block against its float64 definition, on every backend and instruction set."""

import pytest
import torch
from mixer_cases import Draw
from op_checks import (
    BACKENDS,
    ISAS,
    assert_near,
    backend,
    everything,
    needs_native,
    poisoned_memory,
    threads,
)
from torch.utils.flop_counter import FlopCounterMode

import rmeeto
from rmeeto import ops
from rmeeto.errors import BackendError, ShapeError
from rmeeto.ops import dispatch
from rmeeto.ops.bidirectional_mamba import Direction
from rmeeto.ops.mamba_block import BlockWeights, definition, fused_block

SHAPES = [  # batch, length, width, inner channels, states, rank
    (2, 9, 4, 8, 4, 2),
    (3, 1, 43, 87, 5, 3),
    (1, 33, 64, 151, 16, 10),
    (5, 70, 33, 64, 3, 4),
    (2, 300, 10, 20, 17, 1),
    (4, 129, 1, 1, 1, 1),
    (0, 5, 4, 8, 4, 2),
]
FEATURES = ("c", "b", "delta")


def make(batch, length, width, channels, states, rank, taps=4, seed=0):
    """Stream, the block's weights and those of both directions in one list."""
    draw, sizes = Draw(seed), (channels, states, rank, taps)
    stream, norm = draw.normal(1.0, batch, length, width), draw.normal(1.0, width)
    in_proj = draw.normal(width**-0.5, 2 * channels, width)
    out_proj = draw.normal(channels**-0.5, width, channels)
    return [stream, norm, in_proj, out_proj, *draw.direction(*sizes), *draw.direction(*sizes)]


def arguments(inputs):
    return inputs[0], BlockWeights(*inputs[1:4]), Direction(*inputs[4:11]), Direction(*inputs[11:])


def block(*inputs):
    return ops.mamba_block(*arguments(inputs), eps=1e-5, scale=0.5)[0]


def truth_of(inputs):
    """Output and features of the definition in float64."""
    with dispatch.use("torch"), torch.no_grad():
        return definition(*arguments([x.double() for x in inputs]), 1e-5, 0.5)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_features(name, count, shape):
    """Few images and many threads, or the other way round: by stretches and by images."""
    inputs = make(*shape)
    out, pairs = truth_of(inputs)
    with backend(name), threads(count), torch.no_grad():
        found, features = ops.mamba_block(*arguments(inputs), 1e-5, 0.5, FEATURES)
    assert_near(found, out, 1e-6, "out")
    for key in FEATURES:
        for got, expected in zip(features[key], pairs[key], strict=True):
            assert_near(got, expected, 1e-6, key)


def test_gradients_are_those_of_the_definition():
    """The kernel has none, so its parts run, each on the best backend."""
    inputs = make(3, 11, 20, 40, 4, 3)
    with dispatch.use("torch"):
        truth = everything(block, [x.double() for x in inputs])
    for i, (got, expected) in enumerate(zip(everything(block, inputs), truth, strict=True)):
        assert_near(got, expected, 3e-6, f"result {i}")


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_thread_count_changes_no_bit(isa, batch):
    inputs = make(batch, 200, 48, 96, 5, 3)
    results = []
    for count in (1, 2, 4, 7):
        with backend(f"native-{isa}"), threads(count), poisoned_memory(), torch.no_grad():
            out, _, update = fused_block(*arguments(inputs), 1e-5, 0.5, (), keep_update=True)
            assert torch.equal(inputs[0] + update, out)
            results.append(update)
    assert all(torch.equal(result, results[0]) for result in results[1:])


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_nothing_it_did_not_write(isa, shape):
    inputs = make(*shape)
    with backend(f"native-{isa}"), poisoned_memory(), torch.no_grad():
        assert bool(torch.isfinite(block(*inputs)).all())


@needs_native
@pytest.mark.parametrize("layout", ["channels first", "expanded", "every other token", "part"])
def test_any_strides(layout):
    inputs = make(4, 12, 20, 40, 4, 3)
    x = inputs[0]
    x = {
        "channels first": x.transpose(1, 2).contiguous().transpose(1, 2),
        "expanded": x[:1].expand(4, -1, -1),
        "every other token": x[:, ::2],
        "part": torch.cat([x, x], 2)[..., 5:25],
    }[layout]
    inputs = [x, *(w.t().contiguous().t() if w.dim() == 2 else w for w in inputs[1:])]
    with backend("native"), torch.no_grad():
        assert_near(block(*inputs), truth_of(inputs)[0], 1e-6)


@needs_native
def test_op_is_well_formed():
    stream, *weights = make(3, 5, 4, 9, 4, 2)
    args = stream, *weights[:3], weights[3:10], weights[10:], 1e-5, 0.5
    for keep in (False, True):
        torch.library.opcheck(torch.ops.rmeeto.mamba_block, (*args, keep, not keep))


class Block(torch.nn.Module):
    def forward(self, *inputs):
        return block(*inputs)


@needs_native
def test_compiles_and_exports():
    inputs = make(2, 5, 4, 9, 4, 2)
    with backend("native"), torch.no_grad():
        expected = block(*inputs)
        compiled = torch.compile(Block(), backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(*inputs), expected)
        program = torch.export.export(Block(), tuple(inputs))
        torch.testing.assert_close(program.module()(*inputs), expected)


@needs_native
def test_flops_are_those_of_the_definition():
    inputs, totals = make(3, 20, 12, 24, 4, 3), []
    for grad in (False, True):
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(grad):
            block(*inputs)
        totals.append(counter.get_total_flops())
    assert totals[0] == totals[1] > 0


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    inputs = make(1, 3, 2, 4, 2, 1)
    with backend("native"), pytest.raises(BackendError, match="no gradient"):
        block(*inputs)
    with backend("native"), torch.no_grad(), pytest.raises(BackendError, match="float32"):
        block(*(x.double() for x in inputs))
    large = make(1, 1, 300, 600, 1, 1)
    with backend("native"), torch.no_grad(), pytest.raises(BackendError, match="cache"):
        block(*large)


@pytest.mark.parametrize("place", range(4))
def test_refuses_shapes_that_do_not_fit(place):
    inputs = make(2, 6, 3, 5, 3, 2)
    inputs[place] = torch.cat([inputs[place]] * 2, -1)
    with torch.no_grad(), pytest.raises(ShapeError, match="mamba_block"):
        block(*inputs)


@pytest.fixture
def model():
    return rmeeto.create_model("vim_test").eval()


def images(model):
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def ran(model) -> set[str]:
    """Names of our ops that a forward without gradients runs."""
    with torch.no_grad(), torch.profiler.profile() as profile:
        model(images(model))
    return {event.key.removeprefix("rmeeto::") for event in profile.key_averages()}


@needs_native
@pytest.mark.parametrize("metric", ["b", "delta", "tokens", "update"])
def test_models_run_it_and_answer_the_same(model, metric):
    rmeeto.reduce_(model, rmeeto.RMeeTo(r=2, metric=metric))
    assert "mamba_block" in ran(model)
    assert "bidirectional_mamba" not in ran(model)
    trained = model(images(model)).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(images(model)), trained, rtol=1e-5, atol=1e-6)


@needs_native
@pytest.mark.parametrize("way", ["hook", "pre-hook", "exchanged", "wrapped", "drop path"])
def test_models_run_their_parts_where_somebody_wants_them(model, way):
    layer, seen = model.layers[1], []
    if way == "hook":
        layer.norm.register_forward_hook(lambda *_: seen.append(1))
    elif way == "pre-hook":
        layer.mixer.out_proj.register_forward_pre_hook(lambda *_: seen.append(1))
    elif way == "exchanged":
        layer.mixer.in_proj = torch.nn.Sequential(layer.mixer.in_proj)
        seen.append(1)
    elif way == "wrapped":
        before = layer.mixer.in_proj.forward
        layer.mixer.in_proj.forward = lambda x: seen.append(1) or before(x)
    else:
        layer.drop_path.rate = 0.5
        layer.drop_path.train()
        seen.append(1)
    assert {"mamba_block", "bidirectional_mamba"} <= ran(model)
    assert seen
