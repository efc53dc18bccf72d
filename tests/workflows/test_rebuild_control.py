"""`rebuild --control`: the unreduced model re-trained alike, evaluated, and audited against."""

import json

import pytest
import torch

import rmeeto
from rmeeto.data import open_source
from rmeeto.evaluation import predict
from rmeeto.reporting import render_text
from rmeeto.workflows import rebuild_run

TINY = {
    "model": "vim_test", "r": 4, "max_steps": 3, "train_batch_size": 16, "curve": (), "curve_images": 0,
    "pictures": 0, "speed_seconds": 0.2, "batches": (1,), "audit": True, "ood": ("far:demo",), "limit": 24,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A rebuild without, then with a control in the same folder: (folder, record, calls of retrain)."""
    out = tmp_path_factory.mktemp("control") / "run"
    calls = []
    real = rebuild_run.retrain

    def counted(model, *args, **settings):
        calls.append((model.reduction is not None, settings["teacher"].reduction is None))
        return real(model, *args, **settings)

    rebuild_run.retrain = counted
    try:
        rmeeto.rebuild(**TINY, data=str(data), out=out)
        record = rmeeto.rebuild(**TINY, data=str(data), out=out, control=True)
    finally:
        rebuild_run.retrain = real
    return out, record, calls


def test_it_goes_on_and_trains_what_is_not_reduced(finished):
    out, _, calls = finished
    assert calls == [(True, True), (False, True)]  # (reduced, by an unreduced teacher)
    assert rmeeto.load_model(out / "control" / "model").reduction is None
    steps = [json.loads((out / "stages" / f"{s}.json").read_text())["steps"] for s in ("retrain", "retrain_control")]
    assert steps == [3, 3]
    weights = [rmeeto.load_model(out / name / "model").head.weight for name in (".", "control")]
    assert not torch.equal(*weights)


def test_it_is_a_column_with_its_own_numbers(finished, data):
    out, record, _ = finished
    model = rmeeto.load_model(out / "control" / "model")
    images = rmeeto.data.Subset(open_source(str(data), "test"), range(24))
    found = predict(model, images, rmeeto.Preprocessing(**model.config.preprocessing))
    expected = 100 * found.correct().mean()
    assert record.metric("top1", "control").value == pytest.approx(expected)
    change = record.metric("top1_change", "control")
    assert change.value == pytest.approx(expected - record.metric("top1", "baseline").value)
    assert change.low <= change.value <= change.high
    assert "Control, not reduced" in render_text(record)
    assert record.headline is None
    assert "<html" in (out / "report.html").read_text()


def test_the_rebuilt_model_is_audited_against_it(finished):
    out, record, _ = finished
    audit = rmeeto.RunRecord.load(out / "audit_control" / "record.json")
    assert [m.endswith(("control/model", "run/model")) for m in audit.config["models"]] == [True, True]
    assert audit.metric("far_auroc@msp", "A").value == record.metric("far_auroc@msp", "control").value
    assert audit.metric("far_auroc@msp", "B").value == record.metric("far_auroc@msp", "retrained").value
    assert audit.metric("far_auroc@msp", "B − A").low is not None
