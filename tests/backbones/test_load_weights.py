"""Every layout in circulation loads, what was changed is said, and nothing unsafe is opened."""

import argparse
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rmeeto import create_model
from rmeeto.backbones import load_weights
from rmeeto.errors import WeightsError

CALLED = []


class Malicious:
    """Unpickling this with an ordinary loader calls `CALLED.append`."""

    def __reduce__(self):
        return CALLED.append, ("ran",)


@pytest.fixture
def source():
    return create_model("vim_test", seed=1)


@pytest.fixture
def model():
    return create_model("vim_test", seed=2)


def training_file(state, ema=None):
    """What the published training scripts write, arguments and numpy numbers included."""
    args = argparse.Namespace(
        model="vim_test", lr=np.float64(1e-3), seed=np.int64(3), amp=np.bool_(True), betas=(0.9, 1)
    )
    found = {
        "model": state,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
        "lr_scheduler": {"base_values": [np.float32(0.1)]},
        "epoch": 299,
        "scaler": "none",
        "args": args,
    }
    return found if ema is None else {**found, "model_ema": ema}


def same(model, source):
    mine, wanted = model.state_dict(), source.state_dict()
    return all(torch.equal(mine[key], wanted[key]) for key in wanted)


def three_lines(error):
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["asked", "given", "why"]
    return str(error.value)


LAYOUTS = {
    "model": training_file,
    "bare": lambda state: OrderedDict(state),
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "module": lambda state: {"module": state},
    "model_ema": lambda state: {"model_ema": state},
    "nested": lambda state: {"model": {"module": state}},
    "wrapped": lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
    "compiled": lambda state: {f"_orig_mod.module.{k}": v for k, v in state.items()},
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_layouts(tmp_path, source, model, layout, suffix):
    path = tmp_path / f"x{suffix}"
    torch.save(LAYOUTS[layout](source.state_dict()), path)
    report = load_weights(model, path)
    assert same(model, source)
    names = {"nested": "model", "wrapped": "model", "compiled": "bare"}
    assert report.source == names.get(layout, layout)
    assert report.missing == report.unexpected == report.resized == report.replaced == ()
    assert model.load_report is report


def test_safetensors_and_legacy_format(tmp_path, source, model):
    save_file(source.state_dict(), tmp_path / "x.safetensors")
    assert load_weights(model, tmp_path / "x.safetensors").source == "bare"
    assert same(model, source)
    old = create_model("vim_test", seed=3)
    torch.save(
        training_file(source.state_dict()), tmp_path / "x.pth",
        _use_new_zipfile_serialization=False,
    )  # fmt: skip
    load_weights(old, tmp_path / "x.pth")
    assert same(old, source)


def test_create_model_takes_weights(tmp_path, source):
    torch.save({"model": source.state_dict()}, tmp_path / "x.pth")
    model = create_model("vim_test", str(tmp_path / "x.pth"))
    assert same(model, source)
    assert model.load_report.source == "model"
    assert create_model("vim_test").load_report is None


@pytest.mark.parametrize(
    ("name", "ema", "taken"),
    [
        ("vim_test", None, "model"),
        ("vim_test", True, "model_ema"),
        ("vim_test", False, "model"),
        ("vim_base_patch16_224", None, "model_ema"),
        ("vim_base_patch16_224", False, "model"),
    ],
)
def test_averaged_weights(tmp_path, name, ema, taken):
    small = {"embed_dim": 16, "depth": 1, "num_classes": 2}
    plain = create_model(name, **small, seed=1)
    average = create_model(name, **small, seed=2)
    torch.save(training_file(plain.state_dict(), average.state_dict()), tmp_path / "x.pth")
    model = create_model(name, **small, seed=3)
    report = load_weights(model, tmp_path / "x.pth", ema=ema)
    assert report.source == taken
    assert same(model, average if taken == "model_ema" else plain)
    if ema is not True:
        assert any("model_ema" in line for line in report.warnings())


def test_averaged_weights_that_are_not_there(tmp_path, source, model):
    torch.save(training_file(source.state_dict()), tmp_path / "x.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "x.pth", ema=True)
    assert "leave ema unset" in three_lines(error)
    assert not same(model, source)


def test_another_number_of_classes_keeps_the_new_head(tmp_path, source):
    torch.save(source.state_dict(), tmp_path / "x.pth")
    model, fresh = (create_model("vim_test", num_classes=3, seed=4) for _ in range(2))
    report = load_weights(model, tmp_path / "x.pth")
    assert report.replaced == ("head of 10 classes not used: the model has a new one of 3",)
    assert torch.equal(model.head.weight, fresh.head.weight)
    assert torch.equal(model.norm_f.weight, source.norm_f.weight)
    headless = create_model("vim_test", num_classes=0)
    assert "the model has none" in load_weights(headless, tmp_path / "x.pth").replaced[0]


def test_extra_tensors_are_tolerated_and_named(tmp_path, source, model):
    state = {**source.state_dict(), "temporal_pos_embedding": torch.zeros(1, 8, 32)}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].unsqueeze(2)
    torch.save(state, tmp_path / "x.pth")
    report = load_weights(model, tmp_path / "x.pth")
    assert report.unexpected == ("temporal_pos_embedding",)
    assert same(model, source)
    assert "temporal_pos_embedding" in str(report)


def test_a_headless_file_says_what_is_missing(tmp_path, source, model):
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("head.")}
    torch.save(state, tmp_path / "x.pth")
    report = load_weights(model, tmp_path / "x.pth")
    assert report.missing == ("head.weight", "head.bias")
    assert "initial values: head.weight, head.bias" in str(report)


def test_a_model_of_the_other_family_is_pointed_out(tmp_path, source):
    file = training_file(source.state_dict())
    file["args"].model = "RMeeTo_video_tiny"
    torch.save(file, tmp_path / "x.pth")
    assert "outputs differ" in load_weights(create_model("vim_test"), tmp_path / "x.pth").notes[0]
    assert load_weights(create_model("videomamba_test"), tmp_path / "x.pth").notes == ()


@pytest.mark.parametrize(
    ("other", "hint"),
    [
        ({"embed_dim": 48}, "width 48 and depth 4"),
        ({"depth": 2}, "without layers.2."),
        ({"depth": 6}, "with layers.4."),
        ({"d_state": 4}, "the model has (64, 8)"),
        ({"patch_size": 4}, "patch_embed.proj.weight"),
    ],
)
def test_a_model_of_another_size_is_refused(tmp_path, model, other, hint):
    torch.save(create_model("vim_test", **other).state_dict(), tmp_path / "x.pth")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "x.pth")
    assert hint in three_lines(error)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_better_model_is_suggested(tmp_path, model):
    state = create_model("deit_tiny_patch16_224", img_size=32).state_dict()
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="try deit_tiny_patch16_224"):
        load_weights(model, tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("key", "hint"), [("rope.freqs_cos", "midclstok"), ("dist_token", "plain DeiT")]
)
def test_look_alikes_are_refused(tmp_path, source, model, key, hint):
    torch.save({**source.state_dict(), key: torch.zeros(1, 1, 32)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "x.pth")
    assert hint in three_lines(error)


def test_a_foreign_config_beside_the_weights_is_no_obstacle(tmp_path, source, model):
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    for text in ('{"architecture": "vim"}', "[]", "{"):
        (tmp_path / "config.json").write_text(text)
        assert load_weights(model, tmp_path).warnings() == []
    assert same(model, source)


def test_a_dict_that_holds_itself_is_no_checkpoint(tmp_path, model):
    loop = {}
    loop["model"] = loop
    torch.save(loop, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no tensors there"):
        load_weights(model, tmp_path / "x.pth")


@pytest.mark.parametrize("new_format", [True, False])
def test_malicious_pickle_is_never_run(tmp_path, source, model, new_format):
    torch.save(
        {"model": source.state_dict(), "args": Malicious()}, tmp_path / "x.pth",
        _use_new_zipfile_serialization=new_format,
    )  # fmt: skip
    (tmp_path / "y.pth").write_bytes(pickle.dumps({"model": Malicious()}))
    for name in ("x.pth", "y.pth"):
        with pytest.raises(WeightsError) as error:
            load_weights(model, tmp_path / name)
        three_lines(error)
    assert CALLED == []


def test_a_refused_class_is_named(tmp_path, source, model):
    torch.save({"model": source.state_dict(), "args": Malicious}, tmp_path / "x.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "x.pth")
    assert "Malicious, which is refused; ask for a .safetensors file" in three_lines(error)


def truncated(source, folder):
    torch.save(source.state_dict(), folder / "whole.pth")
    return (folder / "whole.pth").read_bytes()[:-2000]


def truncated_safetensors(source, folder):
    save_file(source.state_dict(), folder / "whole.safetensors")
    return (folder / "whole.safetensors").read_bytes()[:-2000]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.pth", truncated),
        ("cut.safetensors", truncated_safetensors),
        ("text.pth", lambda *_: b"<html>404</html>"),
        ("text.safetensors", lambda *_: b"<html>404</html>"),
        ("empty.pth", lambda *_: b""),
    ],
)
def test_damaged_files(tmp_path, source, model, name, content):
    (tmp_path / name).write_bytes(content(source, tmp_path))
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / name)
    text = three_lines(error)
    assert name in text
    assert "not a whole .pth or .safetensors file" in text


@pytest.mark.parametrize(
    "content", [[1, 2], torch.zeros(3), {"epoch": 3}, {"model": {}}, {"model": {"a": 1}}], ids=str
)
def test_no_checkpoint(tmp_path, model, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "x.pth")
    three_lines(error)


def test_missing_file_names_its_neighbours(tmp_path, source, model):
    torch.save(source.state_dict(), tmp_path / "vim_t.pth")
    with pytest.raises(WeightsError) as error:
        load_weights(model, tmp_path / "vim_s.pth")
    assert "that folder holds vim_t.pth" in three_lines(error)
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(model, tmp_path / "nowhere" / "x.pth")


def test_hub_needs_its_package_and_a_whole_name(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError) as error:
        load_weights(model, "hub:hustvl/Vim-tiny-midclstok/vim_t_midclstok_76p1acc.pth")
    assert "pip install 'rmeeto[hub]'" in three_lines(error)
    with pytest.raises(WeightsError, match="hub:owner/repo/path"):
        load_weights(model, "hub:hustvl/Vim-tiny-midclstok")


def test_hub_files_load_from_the_local_copy(tmp_path, source, model, monkeypatch):
    torch.save({"model": source.state_dict()}, tmp_path / "x.pth")

    def download(repo_id, filename):
        if (repo_id, filename) == ("owner/repo", "folder/x.pth"):
            return str(tmp_path / "x.pth")
        raise ConnectionError("offline")

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    load_weights(model, "hub:owner/repo/folder/x.pth")
    assert same(model, source)
    with pytest.raises(WeightsError) as error:
        load_weights(model, "hub:owner/repo/y.pth")
    assert "no download and no local copy" in three_lines(error)
