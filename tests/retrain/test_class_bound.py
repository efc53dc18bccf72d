"""A limit on what a class may lose: its weights, the loss, what is kept, when it stops, what is refused."""

import math

import numpy as np
import pytest
import torch
from toys import PREPROCESSING, TRAIN, VAL, Toy, weights
from toys import RECIPE as LIGHT

from rmeeto.data import Subset
from rmeeto.errors import ConfigError
from rmeeto.objectives import Objective, cross_entropy
from rmeeto.retrain import Saved, retrain
from rmeeto.retrain.class_bound import HEAVIEST, RATE, ClassBound
from rmeeto.retrain.run import Run
from rmeeto.retrain.validation import validate
from rmeeto.retrain.world import World

RECIPE = LIGHT.changed(augment="none")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A toy that has learnt all four patterns."""
    model = Toy(3)
    retrain(model, RECIPE.changed(max_steps=120, ema_decay=None), TRAIN, VAL, tmp_path_factory.mktemp("teacher"),
            preprocessing=PREPROCESSING)  # fmt: skip
    assert min(classes(model)) > 0.9
    return model


def classes(model):
    """Validation accuracy by class."""
    return validate(model, VAL, PREPROCESSING, 40, "fp32", World.current()).classes


def test_a_class_beyond_the_limit_grows_heavier_and_back_within_lighter():
    bound = ClassBound(5.0, [0.9, 0.9, 0.9, math.nan])
    bound.update([0.7, 0.85, 0.95, math.nan])
    assert bound.raw.tolist() == pytest.approx([math.exp(RATE * 0.15), 1, 1, 1])
    assert float(bound.weights.mean()) == pytest.approx(1)
    heavy = float(bound.weights[0])
    assert heavy > 1 > float(bound.weights[1])
    bound.update([0.8, 0.9, 0.9, math.nan])
    assert float(bound.weights[0]) > heavy  # still beyond: heavier yet
    bound.update([0.9, 0.9, 0.9, math.nan])
    assert 1 < bound.raw[0] < math.exp(RATE * 0.2)
    for _ in range(50):
        bound.update([0.9, 0.9, 0.9, math.nan])
    assert bound.raw.tolist() == [1, 1, 1, 1]
    for _ in range(50):
        bound.update([0.0, 0.9, 0.9, math.nan])
    assert float(bound.raw[0]) == HEAVIEST


def test_weights_within_the_limit_are_worth_more_than_any_beyond():
    bound = ClassBound(5.0, [0.9, 0.9])
    within, beyond, further = ([0.85, 0.9], [0.8, 1.0], [0.2, 1.0])
    assert bound.worst(beyond) == pytest.approx(0.1)
    assert bound.worth(within, 0.1) == 0.1
    assert 0 > bound.worth(beyond, 0.99) > bound.worth(further, 1.0) > -1


def test_it_has_fallen_once_a_class_is_down_by_twice_the_limit_after_all_were_within():
    bound = ClassBound(5.0, [0.9, 0.9])
    assert not bound.fallen([0.5, 0.3])  # never within: there is nothing to go back to
    assert not bound.fallen([0.5, 0.04, 0.09])
    assert bound.fallen([0.5, 0.04, 0.11])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_weighted_loss_counts_each_image_by_its_class(smoothing):
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 3, 3])
    weight = torch.tensor([2.0, 1.0, 0.5, 0.5])
    each = torch.stack([cross_entropy(logits[k : k + 1], labels[k : k + 1], smoothing) for k in range(6)])
    expected = (each * weight[labels]).mean()
    assert cross_entropy(logits, labels, smoothing, weight) == pytest.approx(float(expected))
    soft = torch.nn.functional.one_hot(labels, 4).float()
    assert cross_entropy(logits, soft, smoothing, weight) == pytest.approx(float(expected))
    mixed = 0.25 * soft + 0.75 * soft.flip(0)
    each = torch.stack([cross_entropy(logits[k : k + 1], mixed[k : k + 1], smoothing) for k in range(6)])
    assert cross_entropy(logits, mixed, smoothing, weight) == pytest.approx(float((each * (mixed @ weight)).mean()))
    halves = [cross_entropy(logits[part], labels[part], smoothing, weight) for part in (slice(3), slice(3, 6))]
    assert float(sum(halves)) / 2 == pytest.approx(float(expected))
    ones = cross_entropy(logits, labels, smoothing, torch.ones(4))
    assert ones == pytest.approx(float(cross_entropy(logits, labels, smoothing)))


def test_the_objective_reports_the_weighted_loss():
    logits, labels, weight = torch.eye(4), torch.tensor([1, 1, 2, 3]), torch.tensor([1.0, 3.0, 0.0, 0.0])
    found = Objective()(logits, labels, None, weight)
    assert float(found["loss"]) == pytest.approx(float(cross_entropy(logits, labels, 0.0, weight)))


def test_the_class_that_lost_most_counts_most_in_the_next_step(teacher, tmp_path):
    recipe = RECIPE.changed(max_class_drop=1.0)
    student = Toy()
    student.load_state_dict(teacher.state_dict())
    student.head.bias.data[2] -= 1000.0  # it never says 2 now
    run = Run(student, recipe, TRAIN, VAL, tmp_path, PREPROCESSING, teacher, None, None)
    run.open(resume=False)
    assert run.criterion.class_weights.tolist() == [1, 1, 1, 1]
    run.validate()
    lost = np.array(classes(teacher)) - np.array(classes(run.state.model))
    found = run.criterion.class_weights.numpy()
    assert lost.argmax() == found.argmax() == 2
    assert lost[2] > 0.1
    assert found[2] > 1 > found[0] == found[1] == found[3]


def rare(keep=2):
    """Training images of which a class has next to none."""
    few = np.flatnonzero(TRAIN.labels == 3)[:keep]
    return Subset(TRAIN, np.sort(np.concatenate([np.flatnonzero(TRAIN.labels != 3), few])))


def test_a_class_that_is_rare_in_training_loses_less(teacher, tmp_path):
    recipe = RECIPE.changed(max_steps=60, validate_every=4, ema_decay=None)
    lost = []
    for name, limit in (("plain", None), ("bound", 5.0)):
        model = Toy()
        retrain(model, recipe.changed(max_class_drop=limit), rare(), VAL, tmp_path / name,
                preprocessing=PREPROCESSING, teacher=teacher)  # fmt: skip
        lost.append(max(np.array(classes(teacher)) - np.array(classes(model))))
    assert lost[1] < lost[0]


def test_it_stops_and_goes_back_to_weights_within_the_limit(teacher, tmp_path):
    model = Toy(3)
    model.load_state_dict(teacher.state_dict())
    wreck = RECIPE.changed(lr=3.0, min_lr=1.0, warmup=0.02, max_steps=400, max_class_drop=10.0, validate_every=1)
    found = retrain(model, wreck, TRAIN, VAL, tmp_path, preprocessing=PREPROCESSING, teacher=teacher)
    assert found.stopped_by == "class"
    assert found.steps < 400
    assert found.class_drop <= 0.1
    assert max(np.array(classes(teacher)) - np.array(classes(model))) <= 0.1 + 1e-6
    rows = [r for r in found.history if r["kind"] == "validated"]
    assert rows[-1]["class_drop"] > 0.2


def test_a_limit_that_nothing_meets_keeps_the_nearest_and_says_how_far(teacher, tmp_path):
    recipe = RECIPE.changed(max_steps=6, validate_every=1, lr=1e-4, max_class_drop=1.0)
    found = retrain(Toy(), recipe, TRAIN, VAL, tmp_path, preprocessing=PREPROCESSING, teacher=teacher)
    rows = [r for r in found.history if r["kind"] == "validated"]
    nearest = min(min(r["class_drop"], r["ema_class_drop"]) for r in rows)
    assert found.class_drop == pytest.approx(nearest)
    assert nearest > 0.01


def test_an_interrupted_run_goes_on_with_its_class_weights(teacher, tmp_path):
    recipe = RECIPE.changed(max_class_drop=1.0, validate_every=2, checkpoint_every=5)
    given = {"preprocessing": PREPROCESSING, "teacher": teacher}

    class StoppedError(Exception):
        pass

    def stop(event):
        if isinstance(event, Saved) and event.step == 5:
            raise StoppedError

    whole, parts = Toy(), Toy()
    retrain(whole, recipe, TRAIN, VAL, tmp_path / "whole", **given)
    with pytest.raises(StoppedError):
        retrain(parts, recipe, TRAIN, VAL, tmp_path / "parts", **given, on_event=stop)
    parts = Toy()
    retrain(parts, recipe, TRAIN, VAL, tmp_path / "parts", **given)
    assert torch.equal(weights(whole), weights(parts))
    plain = Toy()
    retrain(plain, recipe.changed(max_class_drop=None), TRAIN, VAL, tmp_path / "plain", **given)
    assert not torch.equal(weights(whole), weights(plain))  # so the weights did count


@pytest.mark.parametrize(
    ("change", "val", "has_teacher", "words"),
    [
        ({}, None, True, "no validation"),
        ({}, VAL, False, "no model to compare"),
        ({"keep": "last"}, VAL, True, "keep = best"),
    ],
)
def test_what_does_not_fit_is_refused(change, val, has_teacher, words, teacher, tmp_path):
    recipe = RECIPE.changed(max_class_drop=2.0, **change)
    with pytest.raises(ConfigError, match=words):
        retrain(Toy(), recipe, TRAIN, val, tmp_path, preprocessing=PREPROCESSING,
                teacher=teacher if has_teacher else None)  # fmt: skip


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="max_class_drop above 0"):
        RECIPE.changed(max_class_drop=0.0)
