"""Records survive the trip through JSON, and what is no record is refused in three lines."""

import json
import math

import numpy as np
import pytest

from rmeeto.errors import ConfigError, UnknownNameError
from rmeeto.reporting import (
    LayerTokens,
    MergePicture,
    MergeView,
    Metric,
    Point,
    RunRecord,
    Series,
    Table,
)


def test_round_trip_keeps_everything(full_record, tmp_path):
    path = full_record.save(tmp_path / "run" / "record.json")
    assert RunRecord.load(path) == full_record
    assert RunRecord.load(path).to_json() == full_record.to_json()


def test_round_trip_of_the_smallest_record(tmp_path):
    record = RunRecord("bench")
    assert RunRecord.load(record.save(tmp_path / "r.json")) == record


def test_numbers_of_numpy_become_plain(tmp_path):
    record = RunRecord(
        "bench",
        metrics=[Metric("top1", np.float32(50.5), "%")],
        series=[Series("s", "x", "y", [(np.int64(1), np.float64(2.0), None, None)])],
        config={"r": np.int64(11), "sizes": np.arange(3)},
    )
    loaded = RunRecord.load(record.save(tmp_path / "r.json"))
    assert loaded.metric("top1").value == 50.5
    assert loaded.series[0].points == (Point(1.0, 2.0),)
    assert loaded.config == {"r": 11, "sizes": [0, 1, 2]}


def test_not_a_number_is_written_as_unknown(tmp_path):
    record = RunRecord(
        "train",
        metrics=[Metric("loss", math.nan, low=-math.inf)],
        history=[{"epoch": 1, "loss": math.nan}],
        timings={"retrain": math.inf, "load": 1.0},
    )
    loaded = RunRecord.load(record.save(tmp_path / "r.json"))
    assert loaded.metric("loss").value is None
    assert loaded.metric("loss").low is None
    assert loaded.history == ({"epoch": 1},)
    assert loaded.timings == {"load": 1.0}


def test_lists_of_numbers_take_one_line(full_record):
    lines = full_record.to_json().splitlines()
    assert any(line.count(",") >= 195 for line in lines)
    assert json.loads(full_record.to_json())["config"]["batch_size"] == 128


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metricks": []}, "did you mean metrics"),
        ({"metrics": [{"name": "top1", "direction": "up"}]}, "'higher' or 'lower'"),
        ({"metrics": [{"name": "top1", "value": "74"}]}, "metrics.value"),
        ({"command": 3}, "command"),
        ({"version": 2}, "version 2"),
        ({"version": "1"}, "version 1"),
        ({"version": None}, "version None"),
        ({"tables": [{"title": "t", "columns": ["a", "b"], "rows": [[1]]}]}, "a row of 1"),
        ({"verdicts": [{"name": "n", "verdict": "maybe"}]}, "verdicts.verdict"),
    ],
)
def test_strict_load(change, words, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"command": "x", "version": 1} | change))
    with pytest.raises(ConfigError) as caught:
        RunRecord.load(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"command": NaN, "version": 1}', "{", "[" * 100_000, "\ud800"]
)
def test_what_is_no_record_is_refused(content, tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match="run record"):
        RunRecord.load(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        RunRecord.load(tmp_path / "nowhere.json")


def test_metric_by_name_and_group(full_record):
    assert full_record.metric("top1", "reduced").value == 68.73
    assert full_record.metric("agreement").group == "Audit"
    with pytest.raises(ConfigError, match="baseline"):
        full_record.metric("top1")
    with pytest.raises(UnknownNameError, match="top1"):
        full_record.metric("top11")
    with pytest.raises(UnknownNameError):
        full_record.metric("top1", "elsewhere")


def test_wrong_shapes_are_refused():
    with pytest.raises(ConfigError, match="2 columns"):
        Table("t", ["a", "b"], [(1, 2), (1,)])
    with pytest.raises(ConfigError, match="196 patches"):
        MergePicture("p", "", (14, 14), [MergeView("end", [0] * 197)])
    with pytest.raises(ConfigError, match="grid"):
        MergePicture("p", "", (14, 14, 3))
    with pytest.raises(ConfigError, match="finite x"):
        Point(math.nan, 1.0)


def test_lists_become_tuples():
    assert LayerTokens("baseline", [1, 2]) == LayerTokens("baseline", (1, 2))
    assert hash(LayerTokens("baseline", [1, 2])) == hash(LayerTokens("baseline", (1, 2)))
