"""What a record says of its training: too narrow features, and a guard that ended it."""

from contextlib import nullcontext

import numpy as np
import pytest

import rmeeto
from rmeeto.objectives import SubspaceWarning
from rmeeto.workflows.training import training_notes

TINY = {"model": "vim_test", "r": 2, "train_batch_size": 8, "curve_images": 0, "pictures": 0, "speed_seconds": 0.2,
        "batches": (1,)}  # fmt: skip


def noise(path, classes):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * classes, 32, 32, 3), dtype=np.uint8)
    names = np.array([f"thing {k}" for k in range(classes)])
    np.savez(path, images=images, labels=np.arange(4 * classes) % classes, classes=names)
    return str(path)


@pytest.mark.parametrize(("classes", "loud"), [(33, True), (31, False)])  # vim_test has 32 channels
def test_features_no_wider_than_the_classes_are_stated_once(tmp_path, classes, loud):
    with pytest.warns(SubspaceWarning) if loud else nullcontext():
        record = rmeeto.rebuild(
            **TINY, max_steps=2, trust=True, data=noise(tmp_path / "many.npz", classes), out=tmp_path / "run"
        )
    told = [w for w in record.warnings if "span every direction" in w]
    assert len(told) == loud
    assert not loud or told[0].startswith("32 feature channels for 33 classes")


def test_another_subspace_needs_no_warning(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[recipe]\nmax_steps = 2\nlr = 1e-3\n[recipe.trust]\nsubspace = "principal"\n')
    record = rmeeto.rebuild(
        **TINY, recipe=str(recipe), trust=True, data=noise(tmp_path / "many.npz", 33), out=tmp_path / "run"
    )
    assert not any("span every direction" in w for w in record.warnings)


def test_a_training_that_its_guard_ended_says_so(data, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[recipe]\nmax_steps = 60\nlr = 0.1\nscale_lr = false\nvalidate_every = 1\nmax_drop = 0.01\n")
    record = rmeeto.rebuild(**TINY, recipe=str(recipe), data=str(data), out=tmp_path / "run")
    (told,) = [w for w in record.warnings if "stopped" in w]
    assert "more than 0.01 points below its best" in told
    assert record.history[-1]["step"] < 60


def test_only_guards_are_told():
    recipe = rmeeto.Recipe(epochs=1, max_class_drop=3.0)
    ended = {"steps": 7, "kept_step": 4, "warnings": ["narrow"]}
    for reason in ("steps", "minutes"):
        assert training_notes(recipe, {**ended, "stopped_by": reason}) == ["narrow"]
    told = training_notes(recipe, {**ended, "stopped_by": "class"})[1]
    assert "step 7" in told
    assert "twice the 3 points" in told
    assert "step 4 were kept" in told
