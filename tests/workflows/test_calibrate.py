"""`rmeeto calibrate`: the temperature of the validation images, stored with the model, used by predict, never stale."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.data import open_source
from rmeeto.errors import ConfigError
from rmeeto.evaluation import ece, fit_temperature, nll, predict
from rmeeto.workflows import calibrate_run, flat_options, options, predict_run, train_run


def calibrate(**settings):
    return calibrate_run.run(flat_options(options.CalibrateOptions, settings))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Folder of a model that has learned a little, with a head so large that it is far too sure."""
    out = tmp_path_factory.mktemp("trained")
    settings = {"model": "vim_test", "data": str(data), "max_steps": 8, "train_batch_size": 16, "out": out}
    train_run.run(flat_options(options.TrainOptions, settings))
    model = rmeeto.load_model(out / "model")
    with torch.no_grad():
        model.head.weight.mul_(20)
    return str(rmeeto.save_model(model, out / "sure"))


@pytest.fixture(scope="module")
def calibrated(trained, data, tmp_path_factory):
    """(folder, record) of a calibration."""
    out = tmp_path_factory.mktemp("calibrate") / "run"
    return out, calibrate(model=trained, data=str(data), out=out)


def outputs(folder, data, split):
    """(logits, labels) of a saved model."""
    model = rmeeto.load_model(folder)
    found = predict(model, open_source(str(data), split), rmeeto.Preprocessing(**model.config.preprocessing))
    return found.logits, found.labels


def test_the_temperature_is_that_of_the_validation_images(calibrated, trained, data):
    _, record = calibrated
    temperature = record.metric("temperature").value
    assert temperature == pytest.approx(fit_temperature(*outputs(trained, data, "val")), rel=1e-6)
    assert temperature > 1.5
    assert temperature != pytest.approx(fit_temperature(*outputs(trained, data, "test")), rel=1e-3)


def test_figures_are_those_of_the_evaluation_images(calibrated, trained, data):
    _, record = calibrated
    logits, labels = outputs(trained, data, "test")
    temperature = record.metric("temperature").value
    assert record.metric("nll", "as it was").value == pytest.approx(nll(logits, labels))
    assert record.metric("nll", "calibrated").value == pytest.approx(nll(logits / temperature, labels))
    assert record.metric("ece", "calibrated").value == pytest.approx(100 * ece(logits / temperature, labels))
    change = record.metric("nll", "change")
    assert change.value < 0
    assert change.high < 0
    assert record.tables[0].rows[0][-1] == "better"


def test_it_is_stored_and_predict_divides_by_it(calibrated, trained, tmp_path):
    out, record = calibrated
    kept = json.loads((out / "model" / "config.json").read_text())["extra"]["calibration"]
    assert kept["temperature"] == record.metric("temperature").value
    assert kept["images"] == 24
    image = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(image)
    ask = lambda model, name: predict_run.run(  # noqa: E731
        flat_options(options.PredictOptions, {"images": (image,), "model": str(model), "out": tmp_path / name})
    )
    plain, found = ask(trained, "plain"), ask(out / "model", "found")
    model = rmeeto.load_model(trained)
    pixels = rmeeto.Preprocessing(**model.config.preprocessing).apply(np.asarray(Image.open(image)))
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels)[None])[0].double()
    for result, temperature in ((plain, 1.0), (found, kept["temperature"])):
        expected = 100 * (logits / temperature).softmax(0).max()
        assert result.tables[0].rows[0][3] == pytest.approx(float(expected), abs=0.01)
    assert "temperature" in found.headline
    assert "temperature" not in plain.headline
    assert not found.warnings


@pytest.mark.parametrize("change", ["weights", "reduction", "value"])
def test_a_temperature_of_another_model_is_left_out_and_named(calibrated, change, tmp_path):
    out, _ = calibrated
    model = rmeeto.load_model(out / "model")
    if change == "weights":
        with torch.no_grad():
            model.head.bias[0] += 1e-3
    elif change == "reduction":
        rmeeto.reduce_(model, rmeeto.RMeeTo(r=2))
    else:
        model.metadata["calibration"]["temperature"] = 0
    folder = rmeeto.save_model(model, tmp_path / "changed")
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(image)
    record = predict_run.run(
        flat_options(options.PredictOptions, {"images": (image,), "model": str(folder), "out": tmp_path / "p"})
    )
    assert any("left out, calibrate it again" in w for w in record.warnings)
    assert "temperature" not in record.headline


def test_a_reduction_is_calibrated_and_saved_with_it(trained, data, tmp_path):
    calibrate(model=trained, data=str(data), method="rmeeto", r=2, out=tmp_path)
    model = rmeeto.load_model(tmp_path / "model")
    assert model.reduction is not None
    assert "calibration" in model.metadata


def test_by_the_command_and_what_is_refused(trained, data, tmp_path, capsys):
    assert main(["calibrate", "--model", trained, "--data", str(data), "--out", str(tmp_path / "a")]) == 0
    assert "Calibration on 48 evaluation images" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="3 classes"):
        calibrate(model="demo", data=str(data), out=tmp_path / "b")
    assert not (tmp_path / "b").exists()
