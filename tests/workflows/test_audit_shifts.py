"""Shifted sets, several right labels and batches in an audit."""

import json

import numpy as np
import pytest
import torch

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.data import ArraySource, Subset
from rmeeto.errors import ConfigError, DataError, RmeetoError
from rmeeto.evaluation import accuracy, real_accuracy
from rmeeto.workflows import train_run
from rmeeto.workflows.auditing.labels import open_real
from rmeeto.workflows.options import TrainOptions
from rmeeto.workflows.setup import open_test

QUICK = {"draws": 50, "scores": ("msp",)}


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """Folder of a model that was trained for a few steps."""
    out = tmp_path_factory.mktemp("trained")
    settings = {"model": "vim_test", "data": str(data), "max_steps": 8, "train_batch_size": 16, "out": out}
    train_run.run(rmeeto.workflows.flat_options(TrainOptions, settings))
    return str(out / "model")


@pytest.fixture(scope="module")
def shifted(data, tmp_path_factory):
    """Darker images of two of the three classes, counted the other way round: (path, images, ID labels)."""
    with np.load(data / "val.npz") as found:
        kept = found["labels"] < 2
        images, labels = found["images"][kept] // 2, found["labels"][kept]
    path = tmp_path_factory.mktemp("shift") / "dark.npz"
    np.savez(path, images=images, labels=1 - labels, classes=np.array(["v", "h"]))
    return str(path), images, labels


def logits_of(folder, images):
    model = rmeeto.load_model(folder)
    pre = rmeeto.Preprocessing(**model.config.preprocessing)
    with torch.no_grad():
        return model(torch.stack([torch.from_numpy(pre.apply(i)) for i in images])).numpy()


def rows(record, **wanted):
    table = next(t for t in record.tables if t.title == "All measures")
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in found if all(row[k] == v for k, v in wanted.items())]


def test_a_shifted_set_is_counted_in_the_id_classes(model, data, shifted, tmp_path):
    path, images, labels = shifted
    record = rmeeto.audit(model, r=4, data=str(data), shifts=(path,), out=tmp_path / "a", **QUICK)
    title = f"shift: {open_test(path).name}"
    (row,) = rows(record, set=title, measure="top1")
    expected = accuracy(logits_of(model, images), labels)
    assert row["A"] == pytest.approx(expected)
    assert row["B − A"] == pytest.approx(row["B"] - row["A"])
    assert row["verdict"]
    assert record.metric(f"shift_top1@{title[7:]}", "A").value == pytest.approx(expected)
    assert {r["measure"] for r in rows(record, set=title)} >= {"ece", "nll", "aurc", "worst_class"}
    table = next(t for t in record.tables if t.title == "The same classes, shifted")
    assert [r[:2] for r in table.rows] == [
        ("ID", "top-1"), ("ID", "ECE"), (title, "top-1"), (title, "ECE"),
    ]  # fmt: skip


def test_shifted_sets_that_do_not_fit_are_refused(model, data, shifted, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, images=shifted[1], labels=np.zeros(len(shifted[1]), int), classes=np.array(["cats"]))
    for given, error, words in (
        ((str(other),), DataError, "such as cats"),
        ((str(data),), DataError, "the ID images"),
        ((shifted[0], shifted[0]), ConfigError, "different names"),
        ((str(tmp_path / "none"),), RmeetoError, "none"),
    ):
        with pytest.raises(error, match=words):
            rmeeto.audit(model, data=str(data), shifts=given, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_real_labels(model, data, tmp_path):
    """Half the images have a second right label, some have none."""
    with np.load(data / "test.npz") as found:
        images, labels = found["images"], found["labels"]
    sets = [[int(y), int(y + 1) % 3] if i % 2 else [int(y)] for i, y in enumerate(labels)]
    sets[3], sets[10] = [], []
    (tmp_path / "real.json").write_text(json.dumps(sets))
    record = rmeeto.audit(model, r=4, data=str(data), real=tmp_path / "real.json", out=tmp_path / "a", **QUICK)
    expected = real_accuracy(logits_of(model, images), sets).value
    assert record.metric("real_top1", "A").value == pytest.approx(expected)
    assert expected != pytest.approx(record.metric("top1", "A").value)
    assert record.metric("real_top1", "B − A").low is not None
    assert any("2 of 48 ID images have none" in w for w in record.warnings)
    part = rmeeto.audit(model, data=str(data), real=tmp_path / "real.json", limit=12, out=tmp_path / "b", **QUICK)
    assert part.metric("real_top1", "A").value is not None
    again = rmeeto.audit(model, r=4, data=str(data), out=tmp_path / "a", **QUICK)  # the same passes
    assert not [m for m in again.metrics if m.name == "real_top1"]


class Files(ArraySource):
    """Images with file names, in another order than their numbers."""

    def item_name(self, index):
        return f"/val/n0{index}/ILSVRC2012_val_{(3, 1, 2)[index]:08}.JPEG"


SOURCE = ArraySource(np.zeros((3, 2, 2), np.uint8), [0, 1, 0], ["a", "b"])
FILES = Files(np.zeros((3, 2, 2), np.uint8), [0, 1, 0], ["a", "b"])


@pytest.mark.parametrize(("source", "given", "expected"), [
    (SOURCE, [["a"], ["b", "a"], []], [{0}, {0, 1}, set()]),
    (SOURCE, [0, [1], [0, 1]], [{0}, {1}, {0, 1}]),
    (Subset(SOURCE, [2, 0]), [[0], [1], [0, 1]], [{0, 1}, {0}]),
    (FILES, [["a"], ["b"], ["a", "b"]], [{0, 1}, {0}, {1}]),
    (FILES, {"ILSVRC2012_val_00000002.JPEG": [1], "ILSVRC2012_val_00000003.JPEG": [0]}, [{0}, set(), {1}]),
    (SOURCE, [["a"], ["b"]], "2 entries"),
    (SOURCE, [["a"], ["c"], []], "names of classes"),
    (SOURCE, [[0], [2], []], "0 to 1"),
    (SOURCE, [[0], [True], []], "0 to 1"),
    (SOURCE, {"x.png": [0]}, "without a key"),
    (SOURCE, "a", "list of lists"),
    (FILES, [["a"]], "1 entries"),
])  # fmt: skip
def test_ways_to_write_real_labels(source, given, expected, tmp_path):
    file = tmp_path / "real.json"
    file.write_text(json.dumps(given))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            open_real(file, source)
    else:
        assert [set(x) for x in open_real(file, source)] == expected


def test_a_model_that_looks_at_its_neighbours_is_stated(model, data, tmp_path, monkeypatch):
    record = rmeeto.audit(model, data=str(data), out=tmp_path / "a", **QUICK)
    assert record.metric("batch_dependence", "A").value < 1e-4
    assert not any("beside an image" in w for w in record.warnings)
    kind = type(rmeeto.load_model(model))
    plain = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: plain(self, x) + 0.01 * x.mean())
    found = rmeeto.audit(model, data=str(data), out=tmp_path / "b", **QUICK)
    assert found.metric("batch_dependence", "A").value > 1e-3
    assert any("beside an image" in w for w in found.warnings)


def test_by_the_command_and_within_a_rebuild(model, data, shifted, tmp_path, capsys):
    args = ["audit", model, "--data", str(data), "--shifts", shifted[0], "--scores", "msp", "--draws", "5"]
    assert main([*args, "--out", str(tmp_path / "a")]) == 0
    assert "The same classes, shifted" in capsys.readouterr().out
    tiny = {"model": "vim_test", "r": 2, "max_steps": 2, "train_batch_size": 8, "curve": (), "curve_images": 0,
            "pictures": 0, "speed_seconds": 0.2, "batches": (1,), "limit": 24, "data": str(data)}  # fmt: skip
    with pytest.raises(ConfigError, match="--audit"):
        rmeeto.rebuild(**tiny, shifts=(shifted[0],), out=tmp_path / "no")
    record = rmeeto.rebuild(**tiny, shifts=(shifted[0],), audit=True, out=tmp_path / "b")
    assert any(t.title == "The same classes, shifted" for t in record.tables)
