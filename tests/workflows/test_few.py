"""Too few images: said in the audit, refused where a training could not begin."""

import numpy as np
import pytest
import torch

import rmeeto
from rmeeto.errors import ConfigError
from rmeeto.scores import KNN, Mahalanobis, Outputs, RelativeMahalanobis
from rmeeto.workflows.auditing.few import few_images, thin_statistics
from rmeeto.workflows.folder import RunFolder


def archive(path, count, classes=("chairs", "lamps")):
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % len(classes), classes=np.array(classes))
    return str(path)


def test_an_audit_names_small_sets_and_thin_statistics(data, tmp_path):
    ood = (f"near:{archive(tmp_path / 'few.npz', 49)}", f"far:{archive(tmp_path / 'enough.npz', 50)}")
    settings = {"data": str(data), "ood": ood, "draws": 5, "scores": ("mahalanobis", "knn")}
    record = rmeeto.audit("vim_test", **settings, fit_images=30, out=tmp_path / "a")
    told = "\n".join(record.warnings)
    assert "ID images: only 48 images" in told
    assert "few: only 49 images" in told
    assert "enough: only" not in told
    assert "A: mahalanobis was fitted on 30 images, too few for features of 32 channels" in told
    assert "knn was fitted" not in told
    record = rmeeto.audit("vim_test", **settings, out=tmp_path / "b")
    assert not any("was fitted on" in w for w in record.warnings)


@pytest.mark.parametrize(("count", "loud"), [(10, True), (11, False)])  # 3 classes and 8 channels
def test_a_covariance_needs_as_many_free_images_as_channels(count, loud):
    g = torch.Generator().manual_seed(0)
    train = Outputs(torch.zeros(count, 3), torch.randn(count, 8, generator=g), torch.arange(count) % 3)
    for score in (Mahalanobis(), RelativeMahalanobis()):
        assert bool(thin_statistics(score, train)) == loud
    assert not thin_statistics(Mahalanobis(shrinkage=0.1), train)
    assert not thin_statistics(KNN(), train)
    h = train.features
    h = h - torch.stack([h[train.labels == c].mean(0) for c in range(3)])[train.labels]
    assert (torch.linalg.matrix_rank(h) < 8) == loud  # what the warning is about


def test_forty_nine_are_few():
    class Set:
        def __init__(self, count):
            self.count = count

        def __len__(self):
            return self.count

    assert few_images(Set(49), "x")
    assert not few_images(Set(50), "x")


@pytest.mark.parametrize(("count", "words"), [(4, "not one can be held out"), (8, "outlier_batch of 7 or less")])
def test_too_few_outliers_are_refused_before_any_work(data, tmp_path, count, words, monkeypatch):
    monkeypatch.setattr(RunFolder, "__init__", lambda *a, **k: pytest.fail("the run began"))
    outliers = archive(tmp_path / "aux.npz", count)
    settings = {"model": "vim_test", "r": 2, "max_steps": 2, "train_batch_size": 8, "trust": True}
    with pytest.raises(ConfigError, match=words):
        rmeeto.rebuild(**settings, data=str(data), outliers=outliers, out=tmp_path / "run")
