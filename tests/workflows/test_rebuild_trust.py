"""`rebuild --trust`: outliers given or made, said so in the record, and what is refused."""

import json

import numpy as np
import pytest

import rmeeto
from rmeeto.data import ArraySource, DerivedOutliers, open_source
from rmeeto.errors import ConfigError
from rmeeto.objectives import SubspaceWarning
from rmeeto.reporting import render_text

TINY = {
    "model": "vim_test", "r": 2, "max_steps": 3, "train_batch_size": 8, "curve": (), "curve_images": 0,
    "pictures": 0, "speed_seconds": 0.2, "batches": (1,), "trust": True,
}  # fmt: skip


def test_without_outliers_they_are_made_and_the_record_says_so(data, tmp_path):
    record = rmeeto.rebuild(**TINY, data=str(data), out=tmp_path)
    assert any("substitutes" in warning for warning in record.warnings)
    rows = [
        json.loads(line) for line in (tmp_path / "retrain" / "log.jsonl").read_text().splitlines()
    ]
    parts = [row["parts"] for row in rows if row["kind"] == "trained"]
    assert all("separation" in part and "outlier_exposure" in part for part in parts)
    assert all(0 <= row["detection"] <= 1 for row in rows if row["kind"] == "validated")


@pytest.mark.parametrize("kind", ["splits", "one file"])
def test_given_outliers_are_used(data, tmp_path, kind):
    outliers = "demo"
    if kind == "one file":
        outliers = str(tmp_path / "aux.npz")
        images = np.random.default_rng(0).integers(0, 256, (90, 32, 32, 3), dtype=np.uint8)
        np.savez(outliers, images=images, labels=np.zeros(90, int))
    record = rmeeto.rebuild(**TINY, data=str(data), outliers=outliers, out=tmp_path / "run")
    assert not any("substitutes" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trust": False, "outliers": "demo"}, "--trust"),
        ({"trust": False, "max_drop": 1.0}, "--trust"),
    ],
)
def test_flags_that_belong_to_trust(data, tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        rmeeto.rebuild(**{**TINY, **settings}, data=str(data), out=tmp_path)


def test_outliers_of_the_model_s_own_classes_are_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="none of the classes"):
        rmeeto.rebuild(**TINY, data=str(data), outliers=str(data), out=tmp_path)


def test_derived_outliers_are_images_and_stay_the_same():
    source = open_source("demo", "val")
    made, again = DerivedOutliers(source, 3), DerivedOutliers(source, 3)
    other = DerivedOutliers(source, 4)
    for index in range(6):
        image = made.image(index)
        assert image.shape == (28, 28, 1)
        assert image.dtype == np.uint8
        assert (image == again.image(index)).all()
        assert (image != source.image(index)).any()
        assert (image != other.image(index)).any()
    assert made.fingerprint() == again.fingerprint() != other.fingerprint()
    assert made.item_name(0).startswith("jigsaw of ")


def test_derived_outliers_of_images_of_several_sizes():
    class Sizes(ArraySource):
        def image(self, index):
            return (
                np.full((9 + index, 10, 3), 50 * index, np.uint8)
                + np.arange(10, dtype=np.uint8)[:, None]
            )

    source = Sizes(np.zeros((4, 8, 8), np.uint8), np.zeros(4, int))
    shapes = [DerivedOutliers(source).image(i).shape for i in range(4)]
    assert shapes == [(8, 8, 3), (8, 8, 3), (11, 10, 3), (12, 8, 3)]


def test_features_no_wider_than_the_classes_are_stated(tmp_path):
    """The record says it, not only the terminal; the principal subspace (ours) needs no such warning."""
    width = rmeeto.create_model("vim_test").num_features
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    names = np.array([f"class {k}" for k in range(width)])
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(60) % 3, classes=names)
    settings = {**TINY, "data": str(tmp_path / "many.npz"), "max_steps": 1, "limit": 8}
    with pytest.warns(SubspaceWarning):
        record = rmeeto.rebuild(**settings, out=tmp_path / "run")
    said = f"{width} feature channels for {width} classes"
    assert sum(said in warning for warning in record.warnings) == 1
    (tmp_path / "ours.toml").write_text(
        '[recipe]\nepochs = 1\nlr = 1e-3\nscale_lr = false\ntrust = {subspace = "principal"}\n'
    )
    record = rmeeto.rebuild(**settings, recipe=str(tmp_path / "ours.toml"), out=tmp_path / "ours")
    assert not any(said in warning for warning in record.warnings)


def test_a_rebuild_can_end_with_an_audit(data, tmp_path):
    settings = {**TINY, "trust": False, "audit": True, "ood": ("far:demo",), "limit": 24}
    record = rmeeto.rebuild(**settings, data=str(data), out=tmp_path)
    audit = json.loads((tmp_path / "audit" / "record.json").read_text())
    assert [t.title for t in record.tables] == [t["title"] for t in audit["tables"]]
    assert audit["config"]["ood"] == ["far:demo"]
    assert (tmp_path / "report.html").stat().st_size > 10_000
    sides = {m["group"]: m["value"] for m in audit["metrics"] if m["name"] == "far_auroc@energy"}
    for stage, side in (("baseline", "A"), ("retrained", "B")):
        assert record.metric("far_auroc@energy", stage).value == sides[side]
    assert "unknown images found" in render_text(record)
    with pytest.raises(ConfigError, match="--audit"):
        rmeeto.rebuild(**TINY, data=str(data), ood=("far:demo",), out=tmp_path / "no")
