"""Every recipe in recipes/ loads, keeps what it claims, and runs on a shrunken model."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rmeeto
from rmeeto.data import ArraySource, Preprocessing
from rmeeto.reducers.common import reducer_from_dict
from rmeeto.retrain import PRESETS, RecipeFile, retrain

FILES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
PUBLISHED = [path for path in FILES if path.stem.startswith("imagenet")]


def small(model, **settings):
    """The named model with its depth, width and image cut down."""
    sizes = {"embed_dim": 24, "depth": 3, "img_size": 6 * model["patch"], "num_classes": 4}
    return rmeeto.create_model(model["name"], **sizes, **settings)


def test_there_are_recipes():
    assert len(PUBLISHED) == 9


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_recipe_runs(path, tmp_path):
    file = RecipeFile.load(path)
    patch = 2 if "patch2" in file.model["name"] else 16
    hints = {"name": file.model["name"], "patch": patch}
    teacher, model = small(hints), small(hints)
    fewer = {**file.reduction, "r": min(file.reduction["r"], 11)}  # there are 37 tokens only
    rmeeto.reduce_(model, reducer_from_dict(fewer))
    channels = model.config.in_chans
    preprocessing = Preprocessing(6 * patch, channels, (0.5,) * channels, (0.25,) * channels)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 6 * patch, 6 * patch, channels), dtype=np.uint8)
    source = ArraySource(pixels, np.arange(4))
    recipe = file.recipe.changed(max_steps=1, batch_size=2, scale_lr=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = retrain(
        model, recipe, source, source, tmp_path, preprocessing=preprocessing, teacher=teacher
    )
    assert result.steps == 1
    assert set(result.history[0]["parts"]) == {"cross_entropy", "distillation"}
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_published_recipes_are_the_papers_preset_but_for_length_and_average(path):
    file = RecipeFile.load(path)
    varies = {"epochs", "ema_decay", "ema_warmup", "keep"}
    recipe, paper = file.recipe.decisive(), PRESETS["rmeeto"].decisive()
    assert {k: v for k, v in recipe.items() if k not in varies} == {
        k: v for k, v in paper.items() if k not in varies
    }


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_names_say_what_is_inside(path):
    file = RecipeFile.load(path)
    assert f"r{file.reduction['r']}" in path.stem.split("_")
    assert all(part in path.stem for part in file.model["name"].split("_")[:2])
    assert file.about


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_the_weights_are_of_the_model(path):
    file = RecipeFile.load(path)
    family, size = file.model["name"].split("_")[:2]
    assert file.model["weights"].startswith("hub:")
    assert f"{family[:3]}" in file.model["weights"].lower()
    stem = file.model["weights"].rpartition("/")[2]
    assert f"_{size[0]}" in stem
