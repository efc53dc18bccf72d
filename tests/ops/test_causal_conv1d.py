"""The causal convolution against its float64 definition, on every backend and instruction set."""

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
from rmeeto.ops.causal_conv1d import reference

SHAPES = [  # batch, channels, length, taps
    (2, 3, 1, 4),
    (1, 1, 6, 2),
    (2, 87, 2, 4),
    (3, 64, 19, 3),
    (1, 151, 33, 4),
    (0, 5, 7, 4),
]


def make(batch, channels, length, taps, seed=0, dtype=torch.float32):
    """Channels-last x as half of a wider projection, weight and bias."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(batch, length, 2 * channels, generator=generator).to(dtype)
    weight = torch.randn(channels, taps, generator=generator)
    bias = torch.randn(channels, generator=generator)
    return rows[..., :channels].transpose(1, 2), weight, bias


def truth_of(inputs, silu, reverse):
    """Float64 output and gradients of the definition."""
    wide = [x.double() for x in inputs]

    def definition(x, weight, bias=None):
        return reference.causal_conv1d(x, weight, bias, silu, reverse)

    return differentiate(definition, wide)


def test_definition_by_hand():
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    weight, bias = torch.tensor([[10.0, 1.0]]), torch.tensor([0.5])
    forward = reference.causal_conv1d(x, weight, bias, False, False)
    assert forward.tolist() == [[[1.5, 12.5, 23.5]]]
    backward = reference.causal_conv1d(x, weight, bias, False, True)
    assert backward.tolist() == [[[21.5, 32.5, 3.5]]]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_output_and_gradients(name, shape, silu, reverse):
    inputs = make(*shape)
    (true_out,), true_grads = truth_of(inputs, silu, reverse)
    activation = "silu" if silu else None
    with backend(name):
        (out,), grads = differentiate(
            lambda *args: ops.causal_conv1d(*args, activation, reverse), inputs
        )
    assert out.dtype == torch.float32
    assert out.transpose(1, 2).is_contiguous()
    assert_near(out, true_out, 1e-6, "out")
    for grad, truth, what in zip(grads, true_grads, ("x", "weight", "bias"), strict=True):
        assert_near(grad, truth, 3e-6, f"gradient of {what}")


@pytest.mark.parametrize("name", BACKENDS)
def test_no_bias(name):
    x, weight, _ = make(2, 20, 9, 4)
    (true_out,), true_grads = truth_of((x, weight), True, False)
    with backend(name):
        (out,), grads = differentiate(lambda *a: ops.causal_conv1d(*a, None, "silu"), [x, weight])
    assert_near(out, true_out, 1e-6)
    for grad, truth in zip(grads, true_grads, strict=True):
        assert_near(grad, truth, 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
def test_bf16_rounds_only_the_result(name):
    x, weight, bias = make(2, 40, 12, 4, dtype=torch.bfloat16)
    for kind in (torch.float32, torch.bfloat16):
        inputs = [x, weight.to(kind), bias.to(kind)]
        (true_out,), true_grads = truth_of(inputs, True, True)
        with backend(name):
            (out,), grads = differentiate(lambda *a: ops.causal_conv1d(*a, "silu", True), inputs)
        assert out.dtype == torch.bfloat16
        assert_near(out, true_out, 2**-9)
        assert [grad.dtype for grad in grads] == [torch.bfloat16, kind, kind]
        for grad, truth in zip(grads, true_grads, strict=True):
            # The output's gradient is bf16 as well: its rounding enters every sum.
            assert_near(grad, truth, 2**-7)


@pytest.mark.parametrize("taps", [1, 5, 8])
def test_other_tap_counts_run_in_torch(taps):
    inputs = make(2, 6, 5, taps)
    (true_out,), true_grads = truth_of(inputs, True, False)
    (out,), grads = differentiate(lambda *a: ops.causal_conv1d(*a, "silu"), inputs)
    assert_near(out, true_out, 1e-6)
    for grad, truth in zip(grads, true_grads, strict=True):
        assert_near(grad, truth, 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("layout", ["channels first", "expanded", "every other token", "scaled"])
def test_any_strides(name, layout):
    x, weight, bias = make(3, 21, 10, 4)
    x = {
        "channels first": x.contiguous(),
        "expanded": x[:1].expand(3, -1, -1),
        "every other token": x[..., ::2],
        "scaled": x.transpose(0, 1).contiguous().transpose(0, 1),
    }[layout]
    (true_out,), true_grads = truth_of((x, weight, bias), True, True)
    with backend(name):
        (out,), grads = differentiate(
            lambda *a: ops.causal_conv1d(*a, "silu", True), [x, weight, bias]
        )
    assert_near(out, true_out, 1e-6)
    for grad, truth in zip(grads, true_grads, strict=True):
        assert_near(grad, truth, 3e-6)


@pytest.mark.parametrize("name", BACKENDS)
def test_reverse_is_flip_convolve_flip_and_conv_weights_fit(name):
    x, weight, bias = make(2, 17, 11, 4)
    with backend(name):
        flipped = ops.causal_conv1d(x.flip(2), weight[:, None], bias, "silu").flip(2)
        assert_near(ops.causal_conv1d(x, weight, bias, "silu", True), flipped.double(), 1e-6)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_thread_count_changes_no_bit(isa):
    inputs = make(9, 333, 210, 4)
    results = []
    for count in (1, 2):
        with backend(f"native-{isa}"), threads(count):
            results.append(everything(lambda *a: ops.causal_conv1d(*a, "silu"), inputs))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_native
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_nothing_it_did_not_write(isa, shape):
    inputs = make(*shape)
    with backend(f"native-{isa}"), poisoned_memory():
        results = everything(lambda *a: ops.causal_conv1d(*a, "silu", True), inputs)
    assert all(bool(torch.isfinite(x).all()) for x in results)


@needs_native
def test_ops_are_well_formed():
    x, weight, bias = make(2, 9, 5, 4)
    inputs = [t.detach().requires_grad_() for t in (x, weight, bias)]
    torch.library.opcheck(torch.ops.rmeeto.causal_conv1d, (*inputs, True, False))
    torch.library.opcheck(torch.ops.rmeeto.causal_conv1d, (*inputs[:2], None, False, True))
    args = (torch.randn(2, 9, 5), x, weight, bias, True, False)
    torch.library.opcheck(torch.ops.rmeeto.causal_conv1d_backward, args)


class Conv(torch.nn.Module):
    def forward(self, x, weight, bias):
        return ops.causal_conv1d(x, weight, bias, "silu", True)


@pytest.mark.parametrize("name", BACKENDS)
def test_compiles_and_exports(name):
    inputs = make(2, 9, 5, 4)
    with backend(name):
        expected = everything(Conv(), inputs)
        compiled = torch.compile(Conv(), backend="aot_eager", fullgraph=True)
        for a, b in zip(everything(compiled, inputs), expected, strict=True):
            torch.testing.assert_close(a, b)
        program = torch.export.export(Conv(), inputs)
        torch.testing.assert_close(program.module()(*inputs), expected[0])


@pytest.mark.parametrize("name", BACKENDS)
def test_flops_are_two_a_product(name):
    with backend(name), FlopCounterMode(display=False) as counter:
        ops.causal_conv1d(*make(2, 9, 50, 4))
    assert counter.get_total_flops() == pytest.approx(2 * 2 * 9 * 50 * 4, rel=0.07)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "activation", "error"),
    [
        ((2, 3), (3, 4), (3,), None, ShapeError),
        ((2, 3, 5), (4, 4), (4,), None, ShapeError),
        ((2, 3, 5), (3, 9), (3,), None, ShapeError),
        ((2, 3, 5), (3, 4), (1,), None, ShapeError),
        ((2, 3, 5), (3, 4), (3,), "gelu", ConfigError),
    ],
)
def test_refuses(x, weight, bias, activation, error):
    with pytest.raises(error):
        ops.causal_conv1d(torch.ones(x), torch.ones(weight), torch.ones(bias), activation)


@needs_native
def test_native_by_name_refuses_what_it_lacks():
    x, weight, bias = make(1, 2, 3, 5)
    with backend("native"), pytest.raises(BackendError, match="2 to 4 taps"):
        ops.causal_conv1d(x, weight, bias)
