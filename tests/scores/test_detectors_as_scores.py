"""Detectors of other packages as scores."""

import pytest
import score_data as data
import torch

from rmeeto.errors import ConfigError, ScoreError
from rmeeto.scores import from_detector


class Logits:
    def predict_logits(self, logits):
        return -logits.amax(1)

    def fit_logits(self, logits, labels):
        raise NotImplementedError


class Features:
    def fit_features(self, features, labels):
        self.mean = features[labels == 0].mean(0)

    def predict_features(self, features):
        return (features - self.mean).norm(dim=1)


def test_logits_detector():
    outputs = data.outliers(20)
    score = from_detector(Logits())
    assert torch.equal(score(outputs), -outputs.logits.amax(1))
    assert torch.equal(score.fit(data.in_distribution())(outputs), -outputs.logits.amax(1))
    assert torch.equal(from_detector(Logits(), larger_is_outlier=False)(outputs), -score(outputs))


def test_feature_detector_is_fitted():
    train, outputs = data.in_distribution(), data.outliers(20)
    fitted = from_detector(Features()).fit(train, fingerprint="a")
    mean = train.features[train.labels == 0].mean(0)
    torch.testing.assert_close(fitted(outputs), (outputs.features - mean).norm(dim=1))
    fitted.check("a")
    with pytest.raises(ScoreError, match="labels"):
        from_detector(Features()).fit(data.outliers(20))


def test_its_state_is_its_own():
    with pytest.raises(ScoreError, match="detector keeps"):
        from_detector(Logits()).fit().metadata()


def test_other_objects_are_refused():
    with pytest.raises(ConfigError, match="predict_logits"):
        from_detector(object())
