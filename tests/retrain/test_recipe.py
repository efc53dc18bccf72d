import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from rmeeto.config import from_dict, load_toml, to_dict, to_toml
from rmeeto.errors import ConfigError, UnknownNameError
from rmeeto.retrain import PRESETS, Recipe, RecipeFile, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_toml(name, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(to_dict(PRESETS[name])))
    assert load_toml(Recipe, path) == PRESETS[name]


def test_every_setting_survives_toml(tmp_path):
    recipe = PRESETS["small"].changed(
        epochs=None, minutes=5.0, augment={"crop": "pad", "pad": 2, "hflip": 0.5}, views=2,
        clip_grad=None, checkpoint_every=7, betas=(0.8, 0.99), accumulate=2,
    )  # fmt: skip
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(to_dict(recipe)))
    assert load_toml(Recipe, path) == recipe


def test_the_papers_numbers():
    recipe = preset("rmeeto")
    assert (recipe.epochs, recipe.batch_size, recipe.peak_lr, recipe.min_lr) == (3, 512, 2e-5, 1e-6)
    assert (recipe.weight_decay, recipe.betas, recipe.eps) == (0.05, (0.9, 0.999), 1e-8)
    assert (recipe.distill_weight, recipe.distill_temperature, recipe.drop_path) == (0.5, 1.0, 0.1)
    assert (recipe.warmup, recipe.clip_grad, recipe.ema_decay) == (0, None, None)


def test_lr_scales_with_the_batch_unless_told_not_to():
    assert Recipe(epochs=1, lr=2e-5, batch_size=256).peak_lr == 1e-5
    assert Recipe(epochs=1, lr=2e-5, batch_size=256, scale_lr=False).peak_lr == 2e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": float("inf")}, {"lr": float("nan")},
        {"epochs": 0.0}, {"max_steps": 0}, {"minutes": -1.0}, {"batch_size": 0}, {"accumulate": 0},
        {"lr": 0.0}, {"min_lr": -1e-6}, {"warmup": -0.1}, {"weight_decay": -0.1},
        {"betas": (0.9, 1.0)}, {"betas": (0.9,)}, {"eps": 0.0}, {"clip_grad": 0.0},
        {"smoothing": 1.0}, {"distill_weight": -1.0}, {"distill_temperature": 0.0},
        {"repeats": 0}, {"views": 0}, {"ema_decay": 1.0}, {"drop_path": 1.0},
        {"precision": "fp16"}, {"data_fraction": 0.0}, {"data_fraction": 1.5},
        {"validate_every": 0}, {"keep": "first"}, {"log_every": 0}, {"checkpoint_every": 0},
        {"checkpoint_seconds": -1.0}, {"eval_batch_size": 0}, {"workers": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(ConfigError) as caught:
        Recipe(**{"epochs": 3.0, **wrong})
    assert next(iter(wrong)) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "max_steps"),
        ({"epochs": 1, "batch_size": 10, "accumulate": 3}, "accumulate"),
        ({"epochs": 1, "min_lr": 1.0}, "min_lr"),
        ({"epochs": 1, "batch_size": 8}, "scaled by 8 / 512"),
        ({"epochs": 1, "keep": "ema"}, "ema_decay"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, name):
    with pytest.raises(ConfigError, match=name):
        Recipe(**settings)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="small"):
        preset("smal")
    with pytest.raises(ConfigError, match="learning_rate"):
        PRESETS["small"].changed(learning_rate=1.0)
    with pytest.raises(ConfigError, match="epochs"):
        from_dict(Recipe, {"epoch": 3})


def test_operational_settings_do_not_decide_the_result():
    recipe = PRESETS["small"]
    same = recipe.changed(workers=3, checkpoint_every=5, checkpoint_seconds=1.0, eval_batch_size=9)
    assert same.decisive() == recipe.decisive()
    assert recipe.changed(seed=1).decisive() != recipe.decisive()


def test_recipe_file_round_trip(tmp_path):
    file = RecipeFile(
        PRESETS["small"], "a test", {"name": "rmeeto", "r": 5}, {"name": "vim_tiny"}, {"name": "x"}
    )
    path = tmp_path / "file.toml"
    path.write_text(file.to_toml())
    assert RecipeFile.load(path) == file


def test_every_setting_is_documented():
    source = Path(sys.modules[Recipe.__module__].__file__).read_text()
    for field in dataclasses.fields(Recipe):
        after = source.split(f"    {field.name}: ")[1].splitlines()[1]
        assert after.startswith('    """'), field.name


def test_recipes_load_without_torch():
    code = "import rmeeto.retrain, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
