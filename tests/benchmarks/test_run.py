"""The benchmarks' machinery on tiny work: what the file holds, resuming, and what stops a speed."""

import io
import json
import shutil
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.limits import MachineLimits
from benchmarks.measure import measure
from benchmarks.registry import Benchmark, Case, Limit, all_benchmarks
from benchmarks.results import Results
from benchmarks.scan_work import Shape
from benchmarks.scan_work import forward as scan_forward
from benchmarks.scan_work import with_backward as scan_with_backward

from benchmarks import (
    conv_norm,
    limits,
    merge,
    mixer,
    models,
    parts,
    processes,
    reduced,
    run,
    scan,
    table,
    threads,
    training,
)
from rmeeto.backbones import create_model
from rmeeto.ops import dispatch

LIMITS = MachineLimits(
    isa="avx512", clock_ghz=4.0, fma_gflops=256.0, exp_ns=0.07, scan_ns=0.1, composite_ns=0.15,
    read_gbs={"L3": 30.0}, copy_gbs=10.0,
    gemm_gflops={p: dict.fromkeys(("in_proj", "out_proj", "x_proj", "dt_proj"), 100.0) for p in ("fp32", "bf16")},
)  # fmt: skip
TINY = Shape(1, 5, 16, 4)
OPTIONS = Namespace(quick=False, ours=True)

needs_native = pytest.mark.skipif(
    bool(dispatch.missing("selective_scan")), reason="native kernels are what is timed"
)


def fake(name="fake/one", error=None, limits=lambda _: [Limit("nothing", 1e-12, "made up")]):
    candidates = {"slow": lambda: sum(range(2000)), "fast": lambda: sum(range(200))}
    case = Case(candidates, "fast", 10, "things", limits, error)
    return Benchmark(name, lambda: case, 0.1)


def test_a_record_has_times_ratios_limits_and_load():
    record = measure(fake(), LIMITS)
    slow, fast = record["timings"]
    assert record["status"] == "measured"
    assert record["baseline"] == "slow"
    assert 0 < slow["p5"] <= slow["p20"] <= slow["median"] <= slow["p80"] <= slow["p95"]
    assert fast["calls"] >= slow["calls"] >= 1
    (ratio,) = record["ratios"]
    assert ratio["label"] == "fast"
    assert ratio["ratio"]["low"] <= ratio["ratio"]["value"] <= ratio["ratio"]["high"]
    assert record["limits"][0]["share"] == pytest.approx(1e-12 / fast["median"])
    assert len(record["load_before"]) == len(record["load_after"]) == 3
    json.dumps(record)


def test_candidates_that_disagree_get_no_speed():
    record = measure(fake(error=lambda: 0.5), LIMITS)
    assert record["status"] == "wrong"
    assert "timings" not in record
    assert "no speed" in table.line("fake/one", record)
    assert measure(fake(error=lambda: float("nan")), None)["status"] == "wrong"


def test_a_rerun_measures_only_what_is_missing(tmp_path, capsys):
    path = tmp_path / "out.json"
    first, second = fake("fake/one"), fake("fake/two")
    run.run([first], Results(path), OPTIONS)
    before = json.loads(path.read_text())["results"]["fake/one"]
    run.run([first, second], Results(path), OPTIONS)
    data = json.loads(path.read_text())
    assert set(data) == {"schema", "code", "machine", "versions", "limits", "results"}
    assert data["results"]["fake/one"] == before
    assert data["results"]["fake/two"]["status"] == "measured"
    assert "1 of 2 benchmarks to run" in capsys.readouterr().out
    assert not Results(path, fresh=True).has("fake/one")


def test_results_of_other_code_count_as_missing(tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    run.run([fake()], Results(path), OPTIONS)
    assert Results(path).has("fake/one")
    monkeypatch.setattr("benchmarks.results.code_version", lambda: "other")
    assert not Results(path).has("fake/one")


def test_a_failure_is_recorded_and_tried_again(tmp_path):
    def broken():
        raise RuntimeError("no such thing")

    results = Results(tmp_path / "out.json")
    run.run([Benchmark("fake/broken", broken, 0.1), fake()], results, OPTIONS)
    assert results.data["results"]["fake/broken"]["reason"] == "RuntimeError: no such thing"
    assert not results.has("fake/broken")
    assert results.has("fake/one")


def test_names_are_unique_and_the_whole_is_affordable():
    found = all_benchmarks()
    assert len({b.name for b in found}) == len(found)
    assert sum(b.seconds for b in found) < 25 * 60
    assert sum(b.seconds / run.QUICK for b in found if b.quick) < 2 * 60


def test_only_a_lenient_list_leaves_out_what_an_older_version_lacks(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.registry.GROUPS", ("scan", "not_there"))
    with pytest.raises(ImportError):
        all_benchmarks()
    assert {b.group for b in all_benchmarks(lenient=True)} == {"scan"}
    assert "left out: not_there" in capsys.readouterr().out


def test_the_parts_of_a_model_add_up_to_the_whole():
    facts = parts.case("vim_test", 2, "fp32", r=1).facts
    assert facts["whole, ms"] == pytest.approx(sum(facts.values()) - facts["whole, ms"], abs=1e-3)
    assert facts["products, ms"] > 0
    assert "attention, ms" not in facts


def test_two_processes_are_measured_against_one(monkeypatch):
    monkeypatch.setattr(processes, "_rates", lambda name, count, seconds: [5.0, 4.0][:count])
    facts = processes.case("anything").facts
    assert facts == {"one process, calls/s": 5.0, "two processes, calls/s": 9.0, "ratio": 1.8}


@needs_native
def test_a_process_works_when_it_is_told_to(capsys, monkeypatch):
    monkeypatch.setattr(processes, "works", lambda: {"tiny": lambda: scan_forward(scan.ours("native"), TINY)})
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\n"))
    before = torch.get_num_threads()
    processes.main("tiny", "0.01")
    torch.set_num_threads(before)
    ready, rate = capsys.readouterr().out.split()
    assert ready == "ready"
    assert float(rate) > 0


def test_a_process_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="ended early, with status 1"):
        processes.case("no such work", 0.01)


def tiny_model():
    return create_model("vim_test")


@needs_native
@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("scan/forward/8x197x384x16/fp32", partial(scan.case, scan_forward, TINY, True, True)),
        ("scan/both", partial(scan.case, scan_with_backward, TINY)),
        ("scan/backward", partial(scan.backward_case, TINY)),
        ("scan/call", partial(scan.call_case, TINY)),
        ("op/conv", partial(conv_norm.conv_case, 1, conv_norm.torch.bfloat16, 5, 16)),
        ("op/norm", partial(conv_norm.norm_case, 1, conv_norm.torch.float32, 5, 16)),
        ("merge/match", partial(merge.kernel_case, "match", 1, 16, 8, 2)),
        ("merge/step/B=32/fp32", lambda: merge.share_case(1, "bf16", tiny_model(), 2)),
        ("mixer/step", partial(mixer.case, 1, True, 5, 16)),
        ("reduced/test", partial(reduced.case, "vim_test", 1, "fp32", (1, 2))),
        ("training/vim_tiny/B=8/fp32", partial(training.case, "vim_test", 2)),
        ("threads/training", partial(threads.case, partial(training.training_step, "vim_test", 1), 1, "images")),
    ],
)  # fmt: skip
def test_every_kind_of_benchmark_runs(name, setup):
    record = measure(Benchmark(name, setup, 0.1), LIMITS)
    assert record["status"] == "measured", record
    assert all(limit["share"] > 0 for limit in record["limits"])
    machine = {"cpu": "", "cores": 1, "torch": ""}
    data = {"code": "now", "machine": machine, "limits": None}
    text = table.render({**data, "results": {name: record | {"code": "now"}}})
    assert f"| {name} " in text
    assert "| target | reached | wanted |" in text


@needs_native
@pytest.mark.skipif(shutil.which("g++") is None, reason="the probe needs a compiler")
def test_the_probe_fits_the_kernels_sources():
    probe = limits._build()
    assert probe.fmas(2) == 2 * probe.fmas(1) > 0
    assert probe.scan_elements() % probe.lanes() == 0
    assert limits.best(probe.scan_composite, 1, runs=1) >= 0


@needs_native
def test_other_instruction_sets_do_not_stay_on():
    best = dispatch.native().isa()
    measure(Benchmark("scan/isas", partial(scan.case, scan_forward, TINY, isas=True), 0.1), LIMITS)
    assert dispatch.native().isa() == best


@needs_native
def test_the_naive_model_is_the_same_model():
    model = tiny_model()
    assert models.disagreement(model, models.NoiseInput(32)(2)) < 1e-4
