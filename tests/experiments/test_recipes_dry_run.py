"""The recipes for ImageNet: each resolves on its real model, one takes steps on ImageNet's classes."""

from pathlib import Path

import pytest
import torch

import rmeeto
from rmeeto.data import Preprocessing, Subset, open_source
from rmeeto.reducers import reducer_from_dict
from rmeeto.retrain import RecipeFile, retrain
from rmeeto.tokens import Reduction

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "recipes").glob("imagenet_*.toml"))
IMAGES = ROOT.parent / "shared" / "data" / "imagenet1k_sample" / "images_224.npz"
FINAL = {5: 142, 11: 76}  # tokens that the paper's schedules leave of 197


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_resolves_on_its_model(path):
    file = RecipeFile.load(path)
    with torch.device("meta"):
        model = rmeeto.create_model(file.model["name"])
    schedule = Reduction(reducer_from_dict(file.reduction), model).schedule
    assert schedule.final == FINAL[file.reduction["r"]]
    assert model.num_classes == file.data["classes"] == 1000
    assert file.recipe.epochs * (file.data["train_images"] // file.recipe.batch_size) > 7000


@pytest.fixture(scope="module")
def sample():
    if not IMAGES.exists():
        pytest.skip("the sample of ImageNet images is not beside the repository (shared/data)")
    return open_source(IMAGES, "train")


def test_the_sample_is_one_image_of_each_class(sample):
    assert len(sample) == len(sample.classes) == 1000
    assert sorted(sample.labels) == list(range(1000))


def test_two_steps_of_a_recipe(sample, tmp_path):
    file = RecipeFile.load(ROOT / "recipes" / "imagenet_vim_tiny_r5_minutes.toml")
    narrow = {"embed_dim": 32, "depth": 4, "d_state": 8}  # 197 tokens and 1,000 classes stay
    teacher, model = (rmeeto.create_model(file.model["name"], **narrow) for _ in range(2))
    rmeeto.reduce_(model, reducer_from_dict(file.reduction))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    result = retrain(
        model, file.recipe.changed(max_steps=2, batch_size=2, scale_lr=False),
        Subset(sample, [0, 250, 500, 750]), None, tmp_path,
        preprocessing=Preprocessing(**model.config.preprocessing), teacher=teacher,
    )  # fmt: skip
    assert result.steps == 2
    assert result.history[0]["parts"]["distillation"] >= 0
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.reduction.schedule.final == 197 - 5  # layer 2 of 4
