"""Re-training with outliers: what is minimised, what is held out, what is kept, and the guard."""

import numpy as np
import pytest
import torch
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy, weights

from rmeeto.data import ArraySource
from rmeeto.errors import ConfigError
from rmeeto.objectives import TrustObjective
from rmeeto.retrain import retrain, trust
from rmeeto.retrain.criterion import outputs_of
from rmeeto.retrain.validation import Score
from rmeeto.retrain.world import World


def unlike(count=120, seed=5):
    """Images of one bright pattern that is none of the toy's four, with noise."""
    rng = np.random.default_rng(seed)
    pattern = np.random.default_rng(7).integers(100, 200, (8, 8))
    pixels = pattern + rng.integers(0, 56, (count, 8, 8))
    return ArraySource(pixels.astype(np.uint8), np.zeros(count, int), name="outliers")


TRUST = RECIPE.changed(trust={"clustering_weight": 0.1}, max_steps=40, distill_weight=0.5)


def run(folder, recipe=TRUST, outliers=None, **more):
    model = Toy()
    outliers = unlike() if outliers is None else outliers
    found = retrain(model, recipe, TRAIN, VAL, folder, preprocessing=PREPROCESSING,
                    outliers=outliers, **more)  # fmt: skip
    return model, found


def test_outliers_become_uncertain(tmp_path):
    longer = TRUST.changed(max_steps=150)
    model, found = run(tmp_path / "trust", longer)
    plain = Toy()
    retrain(plain, longer.changed(trust=None), TRAIN, VAL, tmp_path / "plain",
            preprocessing=PREPROCESSING)  # fmt: skip
    rows = [r for r in found.history if r["kind"] == "validated"]
    parts = next(r for r in found.history if r["kind"] == "trained")["parts"]
    assert {"outlier_exposure", "separation", "clustering"} <= set(parts)
    assert rows[-1]["detection"] > 0.9
    unseen = torch.from_numpy(unlike(60, seed=11).images).permute(0, 3, 1, 2)
    unseen = (unseen / 255 - 0.5) / 0.25
    surest = [m(unseen).softmax(1).amax(1).mean() for m in (model, plain)]
    assert surest[0] < surest[1]


def test_logits_and_features_are_distilled(tmp_path):
    _, found = run(tmp_path, TRUST.changed(max_steps=4), teacher=Toy(3))
    parts = next(r for r in found.history if r["kind"] == "trained")["parts"]
    assert {"distillation", "feature_distillation"} <= set(parts)


def test_the_held_out_tenth_is_never_trained_on(tmp_path):
    outliers = unlike(50)
    prepared = trust.prepare(Toy(), TRUST, TRAIN, outliers, PREPROCESSING, None, World.current())
    held = {prepared.held_out.image(i).tobytes() for i in range(len(prepared.held_out))}
    trained = {prepared.feed.source.image(i).tobytes() for i in range(len(prepared.feed.source))}
    assert len(held) == 5
    assert not held & trained


def test_weights_are_kept_by_accuracy_and_detection():
    assert Score(0.9, 0.1, 10, 0.6).worth > Score(0.95, 0.1, 10, 0.5).worth
    assert Score(0.9, 0.1, 10).worth == 0.9


def test_equal_runs_and_resumed_runs_are_equal_to_the_bit(tmp_path):
    whole = weights(run(tmp_path / "a")[0])
    assert torch.equal(whole, weights(run(tmp_path / "b")[0]))

    class EnoughError(Exception):
        pass

    def stop(event):
        if getattr(event, "step", 0) == 21 and type(event).__name__ == "Advanced":
            raise EnoughError

    often = TRUST.changed(checkpoint_every=10)
    with pytest.raises(EnoughError):
        run(tmp_path / "c", often, on_event=stop)
    assert torch.equal(whole, weights(run(tmp_path / "c", often)[0]))


def test_micro_batches_see_outliers_too(tmp_path):
    whole = weights(run(tmp_path / "a", TRUST.changed(max_steps=2))[0])
    parts = weights(run(tmp_path / "b", TRUST.changed(max_steps=2, accumulate=2))[0])
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5)


def test_energy_margins_come_from_the_model(tmp_path):
    settings = {"energy_weight": 0.1, "exposure_weight": 0.0}
    recipe = TRUST.changed(trust=settings)
    with pytest.raises(ConfigError, match="margin_in below"):  # it is surer of these outliers
        run(tmp_path / "no", recipe)
    prepared = trust.prepare(Toy(), recipe, unlike(), TRAIN, PREPROCESSING, None, World.current())
    margins = prepared.criterion.objective.margins
    assert margins.margin_in < margins.margin_out < 0
    given = {**settings, "margins": {"margin_in": -3.0, "margin_out": -1.0}}
    _, found = run(tmp_path / "yes", TRUST.changed(trust=given))
    parts = next(r for r in found.history if r["kind"] == "trained")["parts"]
    assert "energy_hinges" in parts


def test_the_principal_subspace_is_an_option(tmp_path):
    model, _ = run(tmp_path, TRUST.changed(trust={"subspace": "principal"}))
    assert torch.isfinite(weights(model)).all()


def test_features_are_what_the_last_layer_saw():
    model, images = Toy(), torch.randn(3, 1, 8, 8)
    found, layer = outputs_of(model, images)
    assert layer is model.head
    assert torch.equal(found.logits, layer(found.features))


def test_the_guard_stops_and_goes_back(tmp_path):
    """A rate that wrecks the model after it was good: the run ends and the good weights stay."""
    good = RECIPE.changed(max_steps=40, ema_decay=None)
    model = Toy()
    before = retrain(model, good, TRAIN, VAL, tmp_path / "good", preprocessing=PREPROCESSING)
    wreck = good.changed(lr=30.0, min_lr=1.0, max_steps=400, max_drop=5.0, validate_every=2)
    found = retrain(model, wreck, TRAIN, VAL, tmp_path / "wreck", preprocessing=PREPROCESSING)
    assert found.stopped_by == "accuracy"
    assert found.steps < 400
    assert found.best_accuracy >= before.best_accuracy - 0.05


@pytest.mark.parametrize(
    ("recipe", "outliers", "words"),
    [
        (RECIPE, True, "without trust"),
        (TRUST, False, "no outliers"),
        (TRUST.changed(trust={"separation": 1}), True, "separation"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, recipe, outliers, words):
    with pytest.raises(ConfigError, match=words):
        retrain(Toy(), recipe, TRAIN, VAL, tmp_path, preprocessing=PREPROCESSING,
                outliers=unlike() if outliers else None)  # fmt: skip


def test_more_classes_than_features_are_warned_about():
    assert "orthogonal" in (trust.prepare(
        _Narrow(), TRUST, TRAIN, unlike(), PREPROCESSING, None, World.current()
    ).warning or "")  # fmt: skip


class _Narrow(Toy):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = torch.nn.Linear(64, 3), torch.nn.Linear(3, 4)


def test_the_objective_takes_smoothing_and_distillation_from_the_recipe():
    recipe = TRUST.changed(smoothing=0.1, distill_weight=2.0, distill_temperature=3.0)
    prepared = trust.prepare(Toy(), recipe, TRAIN, unlike(), PREPROCESSING, None, World.current())
    expected = TrustObjective(smoothing=0.1, distill_weight=2.0, temperature=3.0)
    assert prepared.criterion.objective == expected


MIXING = {"mixing_weight": 1.0, "exposure_weight": 0.0, "separation_weight": 0.0, "clustering_weight": 0.0}


def parts_of(found):
    return next(r for r in found.history if r["kind"] == "trained")["parts"]


def test_mixtures_of_images_and_outliers(tmp_path):
    """Mixed by a recipe: the loss is there, the share and the weight matter, equal runs are equal."""
    recipe = TRUST.changed(trust=MIXING, max_steps=6, accumulate=2)
    model, found = run(tmp_path / "a", recipe)
    assert set(parts_of(found)) == {"cross_entropy", "mixing"}
    again, _ = run(tmp_path / "b", recipe)
    assert all(torch.equal(x, y) for x, y in zip(weights(model), weights(again), strict=True))
    all_image = {**MIXING, "mixing": {"kind": "mixup", "alpha": 1e6, "beta": 1e-6}}  # nothing of the outliers
    _, same = run(tmp_path / "c", recipe.changed(trust=all_image, max_steps=1, log_every=1, augment="none"))
    parts = parts_of(same)
    assert parts["mixing"] == pytest.approx(parts["cross_entropy"], rel=1e-5)


def test_mixtures_make_outliers_uncertain(tmp_path):
    """CutMix of mostly outlier teaches what exposure does."""
    longer = TRUST.changed(trust=MIXING, max_steps=150, distill_weight=0.0)
    model, _ = run(tmp_path / "mixed", longer)
    plain = Toy()
    retrain(plain, longer.changed(trust=None), TRAIN, VAL, tmp_path / "plain", preprocessing=PREPROCESSING)
    unseen = torch.from_numpy(unlike(60, seed=11).images).permute(0, 3, 1, 2)
    unseen = (unseen / 255 - 0.5) / 0.25
    surest = [m(unseen).softmax(1).amax(1).mean() for m in (model, plain)]
    assert surest[0] - 0.25 < (surest[1] - 0.25) / 2  # 0.25: uniform over the four classes


@pytest.mark.parametrize("trusted", [True, False])
def test_logit_norm_is_a_setting_of_the_recipe(tmp_path, trusted):
    recipe = TRUST.changed(max_steps=3, logit_norm=0.04, trust={} if trusted else None)
    model = Toy()
    found = retrain(model, recipe, TRAIN, VAL, tmp_path, preprocessing=PREPROCESSING,
                    outliers=unlike() if trusted else None)  # fmt: skip
    assert "logit_norm" in parts_of(found)
    assert "cross_entropy" not in parts_of(found)
    with pytest.raises(ConfigError, match="logit_norm"):
        recipe.changed(logit_norm=0.0)
