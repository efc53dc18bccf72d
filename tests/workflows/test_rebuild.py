"""The main job on a tiny model: what it writes, that it resumes, that it refuses a changed run."""

import json
import subprocess
import sys
import tomllib

import pytest

import rmeeto
from rmeeto.errors import ConfigError, UnknownNameError
from rmeeto.reporting import RunRecord
from rmeeto.workflows import rebuild_run

TINY = {
    "model": "vim_test", "r": 2, "max_steps": 4, "train_batch_size": 16, "curve": (1, 2, 90),
    "curve_images": 12, "pictures": 1, "speed_seconds": 0.5, "batches": (1, 4),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A finished rebuild: (folder, record)."""
    out = tmp_path_factory.mktemp("run") / "rebuild"
    return out, rmeeto.rebuild(**TINY, data=str(data), out=out)


def test_the_record_shows_the_three_stages(finished):
    _, record = finished
    for stage in ("baseline", "reduced", "retrained"):
        top1 = record.metric("top1", stage)
        assert top1.low <= top1.value <= top1.high
    assert record.metric("speedup@4", "retrained").value > 0
    assert record.metric("images_per_s@1", "baseline").value > 0
    assert record.timings["retrain"] > 0
    change = record.metric("top1_change", "retrained")
    difference = record.metric("top1", "retrained").value - record.metric("top1", "baseline").value
    assert change.value == pytest.approx(difference, abs=1e-6)
    assert record.metric("gflops_full", "retrained").value < record.metric("gflops_full", "baseline").value


def test_the_folder_holds_everything(finished):
    out, record = finished
    assert RunRecord.load(out / "record.json") == record
    assert "<html" in (out / "report.html").read_text()
    assert tomllib.loads((out / "config.toml").read_text())["model"]["model"] == "vim_test"
    assert (out / "retrain" / "log.jsonl").exists()
    model = rmeeto.load_model(out / "model")
    assert model.reduction.schedule.final < model.num_tokens
    assert model.metadata["classes"] == ["h", "v", "none"]


def test_the_curve_ends_where_r_is_too_large(finished):
    _, record = finished
    curve = next(s for s in record.series if s.group == "Accuracy against r")
    assert [p.x for p in curve.points] == [1, 2]


def test_a_finished_run_is_not_done_again(finished, data):
    out, record = finished
    log = (out / "retrain" / "log.jsonl").read_bytes()
    again = rmeeto.rebuild(**TINY, data=str(data), out=out)
    assert again.metrics == record.metrics
    assert (out / "retrain" / "log.jsonl").read_bytes() == log


def test_a_run_interrupted_between_stages_goes_on(finished, data, tmp_path):
    out, record = finished
    for name in ("retrained.npz", "speed.json", "memory.json"):
        (out / "stages" / name).unlink()
    again = rmeeto.rebuild(**TINY, data=str(data), out=out)
    assert again.metric("top1", "retrained") == record.metric("top1", "retrained")


def test_other_settings_in_the_same_folder_are_refused(finished, data):
    out, _ = finished
    with pytest.raises(ConfigError, match="--no-resume"):
        rmeeto.rebuild(**{**TINY, "r": 1}, data=str(data), out=out)


def test_unknown_settings_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="minutes"):
        rmeeto.rebuild(minute=3)


def test_json_on_stdout_is_the_record(data, tmp_path):
    command = [sys.executable, "-m", "rmeeto.cli.__main__", "evaluate", "--model", "vim_test",
               "--data", str(data), "--json", "--out", str(tmp_path / "e")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["command"] == "evaluate"
    assert json.loads(done.stdout) == json.loads((tmp_path / "e" / "record.json").read_text())


def test_a_class_that_lost_too_much_is_stated(data, tmp_path):
    tiny = {"model": "vim_test", "r": 2, "max_steps": 2, "train_batch_size": 8, "curve_images": 0, "pictures": 0,
            "speed_seconds": 0.2, "batches": (1,), "data": str(data)}  # fmt: skip
    record = rmeeto.rebuild(**tiny, max_class_drop=90.0, out=tmp_path / "run")
    rows = [row for row in record.history if row["kind"] == "validated"]
    assert all(-1 <= row["class_drop"] <= 1 for row in rows)
    recipe = rmeeto.Recipe(epochs=1, max_class_drop=2.0)
    (told,) = rebuild_run._class_warning(recipe, {"class_drop": 0.035})
    assert "worst class lost 3.5" in told
    assert rebuild_run._class_warning(recipe, {"class_drop": 0.02}) == []
    assert rebuild_run._class_warning(recipe.changed(max_class_drop=None), {}) == []
