"""What every registered score must do."""

import dataclasses

import pytest
import score_data as data
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from score_data import NAMES, auroc, build, fit, head, in_distribution, outliers

from rmeeto.errors import (
    ConfigError,
    RmeetoError,
    ScoreError,
    ShapeError,
    StaleStatisticsError,
    UnknownNameError,
)
from rmeeto.scores import SCORES, Head, Outputs, Score, restore, score_from_dict


def test_names():
    assert set(NAMES) == {
        *("msp", "max_logit", "energy", "entropy", "gen", "temperature_scaled", "kl_matching"),
        *("mahalanobis", "mahalanobis_layers", "relative_mahalanobis", "knn", "nnguide", "vim", "residual"),
        *("react", "ash_b", "ash_s", "scale", "dice", "she", "nci", "fdbd", "separation"),
        *("odin", "adascale_a", "adascale_l"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_class_says_what_it_is(name):
    cls = SCORES.get(name)
    assert issubclass(cls, Score)
    assert cls.name == name
    assert cls.needs in ("logits", "features", "head")
    assert "Source:" in cls.__doc__ or "`AdaScale`" in cls.__doc__
    assert cls.__dataclass_params__.frozen
    assert score_from_dict(build(name).settings()) == build(name)


@pytest.mark.parametrize("name", NAMES)
def test_larger_is_more_out_of_distribution(name):
    fitted = fit(name)
    inside, outside = fitted(in_distribution(200, seed=5)), fitted(outliers())
    assert inside.shape == (200,)
    assert auroc(inside, outside) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_no_image_depends_on_another(name):
    fitted, outputs = fit(name, dtype=torch.float64), outliers(40, dtype=torch.float64)
    together = fitted(outputs)
    alone = torch.cat([fitted(outputs.rows(i, i + 1)) for i in range(40)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    order = torch.randperm(40, generator=data.generator(3))
    shuffled = fitted(outputs.map(lambda part: part[order]))
    torch.testing.assert_close(together[order], shuffled, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_chunks_change_nothing(name, monkeypatch):
    fitted, outputs = fit(name), outliers(50)
    whole = fitted(outputs)
    monkeypatch.setattr(type(fitted.score), "_chunk", lambda self, statistics: 7)
    torch.testing.assert_close(fitted(outputs), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types(name, dtype):
    fitted = fit(name)
    scores = fitted(outliers(20).map(lambda part: part.to(dtype)))
    assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    if dtype == torch.float64:
        torch.testing.assert_close(scores.float(), fitted(outliers(20)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_deterministic(name):
    outputs = outliers(30)
    assert torch.equal(fit(name)(outputs), fit(name)(outputs))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_stay_as_they_were(name):
    train, outputs = in_distribution(100), outliers(30)
    before = [outputs.logits.clone(), outputs.features.clone(), train.features.clone()]
    build(name).fit(train, head())(outputs)
    assert all(map(torch.equal, before, [outputs.logits, outputs.features, train.features]))


@pytest.mark.parametrize("name", NAMES)
def test_no_images_no_scores(name):
    assert fit(name)(outliers(5).rows(0, 0)).shape == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_restored(name, tmp_path):
    fitted, outputs = fit(name), outliers(30)
    tensors = fitted.state() or {"empty": torch.zeros(0)}
    save_file(tensors, tmp_path / "score.safetensors", fitted.metadata())
    with safe_open(tmp_path / "score.safetensors", "pt") as file:
        again = restore({key: file.get_tensor(key) for key in file.keys()}, file.metadata())  # noqa: SIM118
    assert again.score == fitted.score
    assert torch.equal(again(outputs), fitted(outputs))
    again.check("model-a")
    assert torch.equal(fitted.to("cpu")(outputs), fitted(outputs))


@pytest.mark.parametrize("name", NAMES)
def test_other_fingerprint_is_refused(name):
    with pytest.raises(StaleStatisticsError, match="model-a") as caught:
        fit(name).check("model-b")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_rows_are_counted(name, value):
    bad = outliers(30)
    bad = bad.map(torch.clone)
    for part in (bad, bad.perturbed):
        part.logits[[3, 8]] = value
        part.features[[3, 8]] = value
    with pytest.raises(ScoreError, match="2 of 30 rows") as caught:
        fit(name)(bad)
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(ScoreError, match="2 of 30 rows"):
        build(name).fit(bad, head())


@pytest.mark.parametrize("name", NAMES)
def test_missing_parts_are_refused(name):
    cls, outputs = SCORES.get(name), outliers(20)
    if cls.needs != "logits":
        perturbed = outputs.perturbed and Outputs(outputs.perturbed.logits)
        with pytest.raises(ScoreError, match="without features"):
            fit(name)(Outputs(outputs.logits, perturbed=perturbed))
    if cls.needs == "head":
        with pytest.raises(ScoreError, match="no head"):
            build(name).fit(in_distribution())
        with pytest.raises(ShapeError):
            build(name).fit(in_distribution(), Head(torch.zeros(K := 3, data.D), torch.zeros(K)))
    if cls.fitted:
        with pytest.raises(ScoreError, match="no fitted statistics"):
            build(name)(outputs, head())
        with pytest.raises(ScoreError, match="no outputs"):
            build(name).fit(None, head())
    else:
        assert torch.equal(build(name)(outputs, head()), build(name).fit(None, head())(outputs))
    if cls.labelled:
        with pytest.raises(ScoreError, match="without labels"):
            build(name).fit(outliers(20), head())
        train = dataclasses.replace(in_distribution(20), labels=torch.full((20,), data.K))
        with pytest.raises(ScoreError, match="20 labels outside"):
            build(name).fit(train, head())
    if cls.gradient:
        with pytest.raises(ScoreError, match="without perturbed"):
            fit(name)(Outputs(outputs.logits, outputs.features))


@pytest.mark.parametrize("name", [name for name in NAMES if SCORES.get(name).fitted])
def test_another_number_of_classes_or_features_is_refused(name):
    fitted, cut = fit(name), lambda o: Outputs(o.logits[:, :4], o.features[:, :9])
    outputs = cut(outliers(8))
    with pytest.raises(ShapeError) as caught:
        fitted(dataclasses.replace(outputs, perturbed=cut(outliers(8).perturbed)))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("name", NAMES)
def test_warns_of_negative_features(name):
    train = in_distribution(60)
    shifted = data.outputs_of(train.features - 0.5, train.labels, train.perturbed.features)
    if SCORES.get(name).nonnegative:
        with pytest.warns(UserWarning, match="negative"):
            build(name).fit(shifted, head())
        if not SCORES.get(name).fitted:
            with pytest.warns(UserWarning, match="negative"):
                build(name)(shifted, head())
    else:
        build(name).fit(shifted, head())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("energy", {"temperature": 0.0}),
        ("gen", {"gamma": 1.0}),
        ("gen", {"top": 0}),
        ("mahalanobis", {"shrinkage": 1.5}),
        ("knn", {"k": 0}),
        ("nnguide", {"bank": 0}),
        ("vim", {"dim": 0}),
        ("react", {"percentile": 100.0}),
        ("nci", {"alpha": -1.0}),
        ("separation", {"reduction": "max"}),
        ("odin", {"epsilon": -1.0}),
        ("adascale_a", {"p_max": 100.0}),
        ("adascale_l", {"changed": 0.0}),
        ("msp", {"temperature": 1.0}),
    ],
)
def test_settings_out_of_range(name, settings):
    with pytest.raises(ConfigError) as caught:
        score_from_dict({"name": name, **settings})
    assert next(iter(settings)) in str(caught.value)


def test_unknown_and_missing_names():
    with pytest.raises(UnknownNameError, match="energy"):
        score_from_dict({"name": "enregy"})
    with pytest.raises(ConfigError, match="add a name"):
        score_from_dict({})


def test_restoring_from_too_little():
    fitted = fit("vim")
    with pytest.raises(ScoreError, match="metadata"):
        restore(fitted.state(), {})
    with pytest.raises(ScoreError, match="metadata"):
        restore(fitted.state(), {"score": "{", "fingerprint": ""})
    with pytest.raises(ScoreError, match="no head"):
        restore({}, fitted.metadata())


@pytest.mark.parametrize(
    "parts",
    [
        {"logits": torch.zeros(3)},
        {"logits": torch.zeros(3, 1)},
        {"logits": torch.zeros(3, 2), "features": torch.zeros(4, 2)},
        {"logits": torch.zeros(3, 2), "labels": torch.zeros(3)},
        {"logits": torch.zeros(3, 2), "labels": torch.zeros(2, dtype=torch.long)},
        {"logits": torch.zeros(3, 2), "perturbed": Outputs(torch.zeros(4, 2))},
        {"logits": torch.zeros(3, 2), "layers": (torch.zeros(3, 2), torch.zeros(4, 2))},
    ],
)
def test_parts_must_belong_together(parts):
    with pytest.raises(ShapeError):
        Outputs(**parts)


def test_errors_are_ours():
    assert issubclass(ScoreError, RmeetoError)
