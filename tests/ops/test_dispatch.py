"""The choice of a backend: forced, automatic, explained; and that what is installed is what runs."""

import types
import warnings

import pytest
import torch
from op_checks import ISAS, needs_native
from scan_cases import scan_inputs

from rmeeto import ops
from rmeeto.errors import BackendError
from rmeeto.ops import dispatch
from rmeeto.ops.explain import explain
from rmeeto.ops.selective_scan import body, reference


@pytest.fixture
def unset(monkeypatch):
    """No backend asked for, and no warning given yet."""
    monkeypatch.delenv("RMEETO_BACKEND", raising=False)
    monkeypatch.setattr(dispatch, "_WARNED", set())
    return monkeypatch


@pytest.fixture
def without_extension(unset):
    """As after an installation without a compiler."""
    unset.setattr(dispatch, "_load", lambda: (None, "this installation has no compiled kernels"))
    return unset


class _Spy:
    """Counts calls on the way to a function."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


@needs_native
def test_the_kernel_runs_when_nothing_is_asked_for(unset):
    """Fails if the extension is installed but the op quietly runs something else."""
    module = dispatch.native()
    forward, backward = _Spy(module.scan_forward), _Spy(module.scan_backward)
    unset.setattr(module, "scan_forward", forward)
    unset.setattr(module, "scan_backward", backward)
    inputs = scan_inputs()
    u = inputs["u"].requires_grad_()
    ops.selective_scan(**inputs).sum().backward()
    assert (forward.calls, backward.calls) == (1, 1)
    assert u.grad is not None


@needs_native
def test_every_op_with_a_kernel_uses_it(unset):
    rows = explain()
    assert {row["op"] for row in rows} >= {"selective_scan", "causal_conv1d", "rms_norm"}
    for row in rows:
        assert set(row) == {"op", "backend", "isa", "why", "cuda"}
        assert row["backend"] == "native", row
        assert row["isa"] in ISAS


@pytest.mark.parametrize("name", ["reference", "torch"])
def test_a_forced_backend_runs(unset, name):
    unset.setenv("RMEETO_BACKEND", name)
    home = ops.selective_scan.__globals__
    function = f"selective_scan_{name}"
    spy = _Spy({"reference": reference, "torch": body}[name].__dict__[function])
    unset.setitem(home, function, spy)
    ops.selective_scan(**scan_inputs())
    assert spy.calls == 1
    assert {row["backend"] for row in explain()} == {name}


def test_backends_agree_when_forced():
    inputs = scan_inputs(2, 20, 5, 9, groups=2)
    results = []
    for name in ("reference", "torch", *(["native"] if ISAS else [])):
        with dispatch.use(name):
            results.append(ops.selective_scan(**inputs, delta_softplus=True))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-5, atol=1e-5)


def test_use_wins_over_the_environment_and_ends(unset):
    unset.setenv("RMEETO_BACKEND", "torch")
    with dispatch.use("reference"):
        assert dispatch.choose("selective_scan") == "reference"
        with dispatch.use(None):
            assert dispatch.requested() == "auto"
    assert dispatch.choose("selective_scan") == "torch"


def test_unknown_backend_is_refused(unset):
    unset.setenv("RMEETO_BACKEND", "cuda")
    with pytest.raises(BackendError, match="reference, torch, native"):
        ops.selective_scan(**scan_inputs())
    assert all(row["backend"] == "none" for row in explain())


def test_missing_extension_falls_back_with_one_line(without_extension):
    with pytest.warns(dispatch.BackendWarning, match="no compiled kernels") as caught:
        ops.selective_scan(**scan_inputs())
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.selective_scan(**scan_inputs())  # told once
    row = next(row for row in explain() if row["op"] == "selective_scan")
    assert row["backend"] == "torch"
    assert "no compiled kernels" in row["why"]


def test_missing_extension_is_an_error_when_forced(without_extension):
    without_extension.setenv("RMEETO_BACKEND", "native")
    with pytest.raises(BackendError, match="no compiled kernels"):
        ops.selective_scan(**scan_inputs())
    with pytest.raises(BackendError):
        dispatch.native()
    assert {row["backend"] for row in explain()} == {"none"}


def test_a_chosen_slow_backend_is_silent(without_extension):
    without_extension.setenv("RMEETO_BACKEND", "torch")
    ops.selective_scan(**scan_inputs())  # warnings are errors here


def test_an_older_extension_is_noticed(unset):
    old = types.SimpleNamespace(isa=lambda: "generic")
    unset.setattr(dispatch, "_load", lambda: (old, ""))
    with pytest.warns(dispatch.BackendWarning, match="scan_forward.*build it again"):
        ops.selective_scan(**scan_inputs())


def test_float64_takes_the_torch_code_silently(unset):
    inputs = {name: x.double() for name, x in scan_inputs().items()}
    assert ops.selective_scan(**inputs).dtype == torch.float64


def test_an_obstacle_may_be_loud(unset):
    if not ISAS:
        pytest.skip("the native kernels are not built")
    with pytest.warns(dispatch.BackendWarning, match="on a planet"):
        assert dispatch.choose("selective_scan", "an input is on a planet", loud=True) == "torch"


def test_tensors_on_a_gpu_take_triton(unset):
    unset.setattr(dispatch, "_load_triton", lambda: "")
    assert dispatch.kernels_for("cpu") == "native"
    assert dispatch.kernels_for("cuda") == "triton"
    assert dispatch.choose("selective_scan", kernels="triton") == "triton"
    with dispatch.use("native"):
        assert dispatch.kernels_for("cuda") == "native"


def test_missing_triton_falls_back_with_one_line_or_refuses(unset):
    unset.setattr(dispatch, "_load_triton", lambda: "Triton is not installed")
    with pytest.warns(dispatch.BackendWarning, match="Triton is not installed; selective_scan"):
        assert dispatch.choose("selective_scan", kernels="triton") == "torch"
    assert dispatch.choose("selective_scan", kernels="triton") == "torch"  # told once
    with dispatch.use("triton"), pytest.raises(BackendError, match="not installed"):
        ops.selective_scan(**scan_inputs())


def test_forced_triton_refuses_cpu_tensors(unset):
    if dispatch.TRITON_ON_CPU:
        pytest.skip("TRITON_INTERPRET=1: they are taken")
    unset.setattr(dispatch, "_load_triton", lambda: "")
    unset.setenv("RMEETO_BACKEND", "triton")
    with pytest.raises(BackendError, match="CUDA devices") as caught:
        ops.selective_scan(**scan_inputs())
    assert len(str(caught.value).splitlines()) == 3
    rows = {row["op"]: row for row in explain()}
    assert rows["selective_scan"]["backend"] == "none"
    assert rows["rms_norm"]["backend"] == "torch"  # no Triton kernel: plain torch code


@pytest.mark.parametrize(
    ("wanted", "triton", "scan", "norm"),
    [
        ("auto", "", "triton", "torch (the op has no Triton kernel)"),
        ("auto", "not here", "torch (not here)", "torch (the op has no Triton kernel)"),
        ("triton", "not here", "none (not here)", "torch (the op has no Triton kernel)"),
        ("torch", "", "torch", "torch"),
    ],
)
def test_what_runs_on_a_gpu_is_explained(unset, wanted, triton, scan, norm):
    unset.setattr(dispatch, "_load_triton", lambda: triton)
    assert {row["cuda"] for row in explain()} == {"no device"} or torch.cuda.is_available()
    unset.setattr(torch.cuda, "is_available", lambda: True)
    unset.setenv("RMEETO_BACKEND", wanted)
    rows = {row["op"]: row["cuda"] for row in explain()}
    assert (rows["selective_scan"], rows["rms_norm"]) == (scan, norm)


@needs_native
@pytest.mark.parametrize("isa", ISAS)
def test_instruction_set_from_the_environment(monkeypatch, isa):
    before = dispatch.native().isa()
    monkeypatch.setenv("RMEETO_ISA", isa)
    dispatch._load.cache_clear()
    try:
        assert dispatch.native().isa() == isa
        assert {row["isa"] for row in explain()} <= {isa, ""}
    finally:
        dispatch.native().set_isa(before)


@needs_native
def test_unavailable_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv("RMEETO_ISA", "sse9")
    dispatch._load.cache_clear()
    try:
        with pytest.raises(BackendError, match="sse9"):
            ops.selective_scan(**scan_inputs())
        assert "generic" in explain()[0]["why"] or explain()[0]["backend"] == "none"
    finally:
        monkeypatch.undo()
        dispatch._load.cache_clear()
        dispatch.native()
