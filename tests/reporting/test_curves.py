"""Training logs and plain histories become the right curves."""

import pytest

from rmeeto.reporting import Metric, RunRecord
from rmeeto.reporting.curves import stage_chart, training_charts

LOG = [
    {"kind": "trained", "step": 10, "epoch": 0.5, "loss": 2.0, "accuracy": 0.1, "lr": 1e-3},
    {"kind": "validated", "step": 10, "epoch": 0.5, "loss": 1.8, "accuracy": 0.4,
     "ema_loss": 1.9, "ema_accuracy": 0.45, "images": 100},
    {"kind": "trained", "step": 20, "epoch": 1.0, "loss": 1.5, "accuracy": 0.2, "lr": 1e-3},
    {"kind": "validated", "step": 20, "epoch": 1.0, "loss": 1.4, "accuracy": 0.5,
     "ema_loss": None, "ema_accuracy": None, "images": 100},
]  # fmt: skip


def points(chart) -> dict[str, list[tuple[float, float]]]:
    return {s.name: [(p.x, p.y) for p in s.points] for s in chart.series}


def test_lines_of_a_log_split_by_kind():
    loss, accuracy = training_charts(RunRecord("train", history=LOG))
    assert points(loss) == {
        "training": [(0.5, 2.0), (1.0, 1.5)],
        "validation": [(0.5, 1.8), (1.0, 1.4)],
        "validation, averaged weights": [(0.5, 1.9)],
    }
    assert points(accuracy) == {
        "validation": [(0.5, 40.0), (1.0, 50.0)],
        "validation, averaged weights": [(0.5, pytest.approx(45.0))],
    }


def test_short_runs_count_steps():
    (loss, _) = training_charts(RunRecord("train", history=LOG[:2]))
    assert loss.series[0].x_label == "Step"
    assert points(loss)["training"] == [(10, 2.0)]


def test_plain_rows_keep_their_names_and_units():
    rows = [{"epoch": 1, "val_top1": 70.0, "train_loss": 2.0, "flag": True, "loss_text": "none"}]
    loss, accuracy = training_charts(RunRecord("train", history=rows))
    assert points(loss) == {"train loss": [(1, 2.0)]}
    assert points(accuracy) == {"val top1": [(1, 70.0)]}


def test_no_history_no_charts():
    assert training_charts(RunRecord("x")) == []
    assert training_charts(RunRecord("x", history=[{"epoch": 1, "lr": 0.1}, {"loss": 1.0}])) == []


def test_stages_before_are_lines_in_the_accuracy_chart(full_record):
    (_, accuracy) = training_charts(full_record)
    assert accuracy.references == (("baseline", 74.91), ("training-free", 68.73))


def test_stage_chart(full_record):
    chart = stage_chart(full_record)
    assert chart.categories == ("Baseline", "Training-free", "Re-trained")
    assert [p.y for p in chart.series[0].points] == [74.91, 68.73, 74.6]
    assert stage_chart(RunRecord("x", metrics=[Metric("top1", 1.0, group="baseline")])) is None
