"""A saved model comes back as it was, or not at all."""

import errno
import json
import os

import pytest
import torch

from rmeeto import RMeeTo, create_model, list_models, load_model, reduce_, save_model
from rmeeto.backbones import load_weights, weights_fingerprint
from rmeeto.errors import ConfigError, StorageError, UnknownNameError, WeightsError


def images_for(model):
    c = model.config
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, c.in_chans, *c.image_hw, generator=generator)


@pytest.mark.parametrize("name", [*list_models("*_test"), "vim_micro_patch2_28"])
def test_round_trip(tmp_path, name):
    model = create_model(name, img_size=(24, 32), num_classes=3, embed_dim=24, seed=5).eval()
    reduce_(model, RMeeTo(r=2, distance="l1"))
    extra = {"classes": ["a", "b", "ü"], "provenance": {"seed": 5}, "remark": [1, 2]}
    assert save_model(model, tmp_path / "m", extra) == tmp_path / "m"
    twin = load_model(tmp_path / "m")
    assert twin.config == model.config
    assert twin.reduction.config == model.reduction.config
    assert twin.metadata == extra
    assert not twin.training
    assert all(p.requires_grad and not p.is_meta for p in twin.parameters())
    assert torch.equal(twin(images_for(model)), model(images_for(model)))
    assert weights_fingerprint(twin) == weights_fingerprint(model)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip


def test_config_json_is_readable(tmp_path):
    model = create_model("vim_test", in_chans=1)
    save_model(model, tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["format"], saved["version"]) == ("rmeeto-model", 1)
    assert saved["backbone"]["family"] == "vim"
    assert saved["backbone"]["embed_dim"] == 32
    assert saved["reducer"] is None
    assert saved["preprocessing"]["channels"] == len(saved["preprocessing"]["mean"]) == 1


def test_metadata_is_kept_and_overwritten(tmp_path):
    model = create_model("vim_test", num_classes=2)
    model.metadata = {"classes": ["a", "b"], "remark": "old"}
    save_model(model, tmp_path, {"remark": "new"})
    assert load_model(tmp_path).metadata == {"classes": ["a", "b"], "remark": "new"}


def test_class_names_must_fit(tmp_path):
    with pytest.raises(ConfigError, match="1 names for 10 outputs"):
        save_model(create_model("vim_test"), tmp_path, {"classes": ["a"]})
    assert list(tmp_path.iterdir()) == []


def test_other_number_types_survive(tmp_path):
    save_model(create_model("vim_test").bfloat16(), tmp_path)
    assert {p.dtype for p in load_model(tmp_path).parameters()} == {torch.bfloat16}


def test_a_full_disk_leaves_the_older_model(tmp_path, monkeypatch):
    old = create_model("vim_test", seed=1)
    save_model(old, tmp_path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_model(create_model("vim_test", seed=2), tmp_path)
    assert weights_fingerprint(load_model(tmp_path)) == weights_fingerprint(old)
    assert len(list(tmp_path.iterdir())) == 2


def change(folder, **changes):
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**saved, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "install a newer one"),
        ({"format": "other"}, "the format rmeeto-model"),
        ({"backbone": {}}, "'name' is missing"),
        ({"backbone": None}, "save the model again"),
    ],
)
def test_foreign_versions_are_refused(tmp_path, changes, message):
    save_model(create_model("vim_test"), tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(WeightsError, match=message) as error:
        load_model(tmp_path)
    assert len(str(error.value).splitlines()) == 3


def test_unknown_settings_and_names_are_refused(tmp_path):
    save_model(create_model("vim_test"), tmp_path)
    change(tmp_path, backbone={"name": "vim_test", "embed_dims": 32})
    with pytest.raises(ConfigError, match="did you mean embed_dim"):
        load_model(tmp_path)
    change(tmp_path, backbone={"name": "vim_tests"})
    with pytest.raises(UnknownNameError, match="did you mean"):
        load_model(tmp_path)


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json and a model\.safetensors"):
        load_model(tmp_path / "nowhere")
    save_model(create_model("vim_test"), tmp_path)
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1  # one bit
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="sha256"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="save it again"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not JSON"):
        load_model(tmp_path)


def test_weights_of_another_width_are_refused(tmp_path):
    save_model(create_model("vim_test"), tmp_path)
    change(tmp_path, backbone={"name": "vim_test", "embed_dim": 48})
    with pytest.raises(WeightsError, match="size mismatch"):
        load_model(tmp_path)


def test_a_saved_folder_serves_as_weights_with_its_own_grid(tmp_path):
    """24×56 pixels are 3×7 = 21 patches: no square, and only config.json tells 3×7 from 7×3."""
    model = create_model("vim_test", img_size=(24, 56), seed=1)
    save_model(model, tmp_path)
    turned = create_model("vim_test", img_size=(56, 24), seed=2)
    report = load_weights(turned, tmp_path)
    assert report.resized == ("pos_embed resampled from 3×7 to 7×3 patches",)
    torch.testing.assert_close(turned.pos_embed[:, 10], model.pos_embed[:, 10])
    same = create_model("vim_test", img_size=(24, 56), seed=2)
    assert load_weights(same, tmp_path).resized == ()
    assert torch.equal(same.pos_embed, model.pos_embed)


def test_fingerprint_follows_weights_and_settings_only():
    model = create_model("vim_test", seed=1)
    before = weights_fingerprint(model)
    assert before == weights_fingerprint(create_model("vim_test", seed=1))
    assert before != weights_fingerprint(create_model("vim_test", seed=2))
    reduce_(model, RMeeTo(r=2))
    assert before == weights_fingerprint(model)
    with torch.no_grad():
        model.layers[2].mixer.D_b[3] += 1e-6
    assert before != weights_fingerprint(model)
    assert before != weights_fingerprint(create_model("vim_test", seed=1, crop_pct=0.9))
