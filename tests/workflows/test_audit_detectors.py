"""Detectors of other packages in an audit, by MODULE:FUNCTION."""

import pytest
import torch

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.errors import ConfigError, UnknownNameError
from rmeeto.workflows.auditing.detectors import score_named

CODE = """
import torch

made = []

class Sure:
    def predict_logits(self, logits):
        return -logits.softmax(1).amax(1)

class Far:
    def fit_features(self, features, labels):
        self.mean, self.labels = features.mean(0), labels
    def predict_features(self, features):
        return (features - self.mean).norm(dim=1)

class Broken:
    def predict_logits(self, logits):
        raise RuntimeError("no such kernel")

def sure():
    return Sure()

def far():
    made.append(Far())
    return made[-1]

def broken():
    return Broken()

def nothing():
    return object()

def failing():
    raise OSError("no weights")
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's in the working folder."""
    (tmp_path / "mine_of_tests.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield "mine_of_tests"
    import sys

    sys.modules.pop("mine_of_tests", None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    made = rmeeto.create_model("vim_test", num_classes=3)
    return str(rmeeto.save_model(made, tmp_path_factory.mktemp("m") / "model", {"classes": ["h", "v", "none"]}))


def rows(record, score):
    table = next(t for t in record.tables if t.title == "All measures")
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return {r["measure"]: (r["A"], r["B"]) for r in found if r["score"] == score and r["set"] == "far average"}


def test_they_stand_beside_ours_and_are_fitted_model_by_model(mine, model, data, tmp_path):
    names = ("msp", f"{mine}:sure", f"{mine}:far", f"{mine}:broken")
    record = rmeeto.audit(model, r=4, data=str(data), ood=("far:demo",), scores=names, limit=24, draws=5,
                          out=tmp_path / "a")  # fmt: skip
    assert rows(record, f"{mine}:sure") == rows(record, "msp")
    assert set(rows(record, f"{mine}:far")) == set(rows(record, "msp"))
    import mine_of_tests

    fitted = [d for d in mine_of_tests.made if hasattr(d, "mean")]
    assert len(fitted) == 2
    assert not torch.equal(fitted[0].mean, fitted[1].mean)
    assert len(fitted[0].labels) == 96  # the training images
    assert any("broken left out: RuntimeError: no such kernel" in w for w in record.warnings)
    assert not rows(record, f"{mine}:broken")


def test_by_the_command(mine, model, data, tmp_path, capsys):
    args = ["audit", model, "--data", str(data), "--ood", "far:demo", "--limit", "24", "--draws", "5"]
    assert main([*args, "--scores", f"{mine}:sure", "--out", str(tmp_path / "a")]) == 0
    assert f"{mine}:sure" in capsys.readouterr().out
    assert main([*args, "--scores", f"{mine}:none", "--out", str(tmp_path / "b")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()[-3:]
    assert [line.split(":")[0] for line in lines] == ["asked", "given", "why"]


@pytest.mark.parametrize(("name", "words"), [
    ("nowhere_to_be_found:x", "ModuleNotFoundError"), ("mine_of_tests:x", "AttributeError"),
    ("mine_of_tests:failing", "no weights"), ("mine_of_tests:nothing", "predict_logits"),
])  # fmt: skip
def test_what_is_no_detector(mine, name, words):
    with pytest.raises(ConfigError, match=words):
        score_named(name)
    with pytest.raises(UnknownNameError):
        score_named("mps")
