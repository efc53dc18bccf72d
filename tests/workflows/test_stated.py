"""Images and models that do not quite belong together: three lines or a stated warning, by the command."""

import numpy as np
import pytest

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.errors import ConfigError, RmeetoError
from rmeeto.workflows.folder import RunFolder

TINY = {
    "model": "vim_test", "r": 2, "max_steps": 2, "train_batch_size": 8, "curve": (), "curve_images": 0,
    "pictures": 0, "speed_seconds": 0.2, "batches": (1,), "limit": 24,
}  # fmt: skip


def archive(path, classes, count=30, side=32, channels=3):
    """An .npz of random images."""
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % len(classes), classes=np.array(classes))
    return str(path)


@pytest.fixture
def saved(tmp_path):
    """Folder of an untrained model that names its classes as the striped images do."""
    model = rmeeto.create_model("vim_test", num_classes=3)
    return str(rmeeto.save_model(model, tmp_path / "saved", {"classes": ["h", "v", "none"]}))


def evaluate(*args, capsys):
    """(exit code, what was printed, what was said)."""
    code = main(["evaluate", *args])
    found = capsys.readouterr()
    return code, " ".join(found.out.split()), found.err


@pytest.mark.parametrize("command", ["evaluate", "rebuild", "train", "sweep", "audit"])
def test_one_class_is_refused(command, tmp_path, capsys):
    data = archive(tmp_path / "one.npz", ["cats"])
    model = ["vim_test"] if command == "audit" else ["--model", "vim_test"]
    assert main([command, *model, "--data", data, "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()[-3:]
    assert [line.split(":")[0] for line in lines] == ["asked", "given", "why"]
    assert "two classes" in lines[0]
    assert not (tmp_path / "out").exists()


def test_classes_in_another_order_are_stated(saved, tmp_path, capsys):
    for classes, words in ((["v", "h", "none"], "another order"), (["h", "v", "x"], "other names")):
        data = archive(tmp_path / f"{classes[0]}.npz", classes)
        out = str(tmp_path / classes[0])
        code, printed, _ = evaluate("--model", saved, "--data", data, "--out", out, capsys=capsys)
        assert code == 0
        assert words in printed
    record = rmeeto.audit(saved, data=data, scores=("msp",), draws=5, out=tmp_path / "audit")
    assert any("output 2 is its 'none', and the data's 'x'" in w for w in record.warnings)


def test_equal_classes_and_sizes_are_not_spoken_of(saved, tmp_path, capsys):
    data = archive(tmp_path / "same.npz", ["h", "v", "none"])
    code, printed, _ = evaluate("--model", saved, "--data", data, "--out", str(tmp_path / "o"), capsys=capsys)
    assert code == 0
    assert "warning" not in printed


def test_another_image_size_is_stated(saved, tmp_path, capsys):
    data = archive(tmp_path / "big.npz", ["h", "v", "none"], side=40, channels=1)
    said = "images of 40×40 grey become 32×32 colour"
    _, printed, _ = evaluate("--model", saved, "--data", data, "--out", str(tmp_path / "o"), capsys=capsys)
    assert said in printed
    record = rmeeto.audit(saved, data=data, scores=("msp",), draws=5, out=tmp_path / "audit")
    assert any(said in w for w in record.warnings)


@pytest.mark.parametrize("ood", ["far:{missing}", "far:{data}", "{aux}"])
def test_an_ood_set_that_cannot_be_audited_fails_before_the_training(data, tmp_path, ood, monkeypatch):
    monkeypatch.setattr(RunFolder, "__init__", lambda *a, **k: pytest.fail("the run began"))
    aux = archive(tmp_path / "aux.npz", ["x", "y"])
    given = ood.format(missing=tmp_path / "missing", data=data, aux=aux)
    with pytest.raises(RmeetoError):
        rmeeto.rebuild(**TINY, data=str(data), audit=True, ood=(given,), out=tmp_path / "run")


@pytest.mark.parametrize("classes", [["x", "y"], ["0", "1"]])
def test_outliers_that_are_the_ood_set_are_refused(data, tmp_path, classes):
    aux = archive(tmp_path / "aux.npz", classes)
    with pytest.raises(ConfigError, match="none of the OOD sets"):
        rmeeto.rebuild(**TINY, data=str(data), trust=True, outliers=aux, audit=True,
                       ood=(f"near:{aux}",), out=tmp_path / "run")  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_outliers_that_share_classes_with_an_ood_set(data, tmp_path):
    aux = archive(tmp_path / "aux.npz", ["x", "y", "z"])
    all_of_it = archive(tmp_path / "all.npz", ["X", "z"])
    some = archive(tmp_path / "some.npz", ["z", "w"])
    settings = {**TINY, "data": str(data), "trust": True, "outliers": aux, "audit": True}
    with pytest.raises(ConfigError, match="none of the OOD sets"):
        rmeeto.rebuild(**settings, ood=(f"near:{all_of_it}",), out=tmp_path / "run")
    record = rmeeto.rebuild(**settings, ood=(f"near:{some}",), out=tmp_path / "run")
    assert any("shares 1 classes with --outliers (z)" in w for w in record.warnings)


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_how_far_to_reduce_is_never_ignored(command, saved, data, tmp_path, capsys):
    """These commands reduce nothing by default; a goal alone must mean a reduction all the same."""
    given = [command, "--model", saved, "--data", str(data), "--limit", "12"]
    if command == "evaluate":
        assert main([*given, "--r", "2", "--out", str(tmp_path / "o")]) == 0
        layers = rmeeto.RunRecord.load(tmp_path / "o" / "record.json").tokens_per_layer
        assert layers[0].tokens[-1] < layers[0].tokens[0]
    else:
        assert main([*given, "--ratio", "0.2", "--out", str(tmp_path / "o")]) == 0
        assert rmeeto.load_model(tmp_path / "o" / "model").reduction is not None
    capsys.readouterr()
    assert main([*given, "--sites", "even", "--out", str(tmp_path / "no")]) == 1
    assert "nothing is reduced" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
