import json

import pytest
import torch
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy, images, timeless, weights

from rmeeto.data import eval_batches
from rmeeto.errors import ConfigError, NonFiniteLossError
from rmeeto.retrain import (
    Advanced,
    Finished,
    RetrainResult,
    Saved,
    Started,
    Trained,
    Validated,
    retrain,
)
from rmeeto.retrain.loop import accumulate_gradients
from rmeeto.retrain.run import Run


def train(model, folder, recipe=RECIPE, val=VAL, **options):
    return retrain(model, recipe, TRAIN, val, folder, preprocessing=PREPROCESSING, **options)


def gradients(folder, teacher=None, model=None, **settings):
    model = model or Toy()
    recipe = RECIPE.changed(**settings)
    run = Run(model, recipe, TRAIN, VAL, folder, PREPROCESSING, teacher, None, None)
    shares = accumulate_gradients(run, next(run.feed.batches(0)))
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()]), shares


@pytest.mark.parametrize("augment", ["light", "rmeeto"])
@pytest.mark.parametrize("accumulate", [2, 4, 16])
def test_micro_batches_add_up_to_the_batch(tmp_path, augment, accumulate):
    settings = {"augment": augment, "distill_weight": 0.5}
    whole, losses = gradients(tmp_path, Toy(1), **settings)
    parts, shares = gradients(tmp_path, Toy(1), accumulate=accumulate, **settings)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-7)
    assert whole.abs().max() > 1e-3
    for name, value in losses.items():
        torch.testing.assert_close(shares[name], value)


def test_micro_batches_add_up_where_they_are_not_equal(tmp_path):
    """16 images in 3 parts: 6, 6, 4; the mean of means would be another gradient."""
    run = Run(Toy(), RECIPE, TRAIN, VAL, tmp_path, PREPROCESSING, None, None, None)
    object.__setattr__(run.recipe, "accumulate", 3)
    try:
        accumulate_gradients(run, next(run.feed.batches(0)))
    finally:
        object.__setattr__(run.recipe, "accumulate", 1)
    parts = torch.cat([p.grad.reshape(-1) for p in run.state.model.parameters()])
    torch.testing.assert_close(parts, gradients(tmp_path)[0], rtol=1e-5, atol=1e-7)


def test_every_micro_batch_and_step_has_noise_of_its_own(tmp_path):
    class Listens(Toy):
        def __init__(self):
            super().__init__()
            self.seeds = []

        def seed_drop_path(self, seed):
            self.seeds.append(seed)

    model = Listens()
    train(model, tmp_path, RECIPE.changed(accumulate=2, ema_decay=None), val=None)
    assert len(model.seeds) == len(set(model.seeds)) == 24


def test_training_learns_and_reports(tmp_path):
    model, events = Toy(), []
    recipe = RECIPE.changed(epochs=8.0, max_steps=None, augment="none")
    result = train(model, tmp_path, recipe, on_event=events.append)
    assert isinstance(result, RetrainResult)
    assert (result.steps, result.epochs, result.images) == (40, 8.0, 640)
    assert result.stopped_by == "steps"
    assert result.best_accuracy >= max(result.last_accuracy, result.ema_accuracy) > 0.8
    assert result.images_per_second > 0
    assert not model.training
    kinds = [type(event) for event in events]
    assert kinds[0] is Started
    assert kinds[-2:] == [Saved, Finished]
    assert kinds.count(Advanced) == 40
    assert kinds.count(Validated) == 8
    assert events[-1].result == result
    trained = [event for event in events if isinstance(event, Trained)]
    assert [event.step for event in trained] == list(range(4, 41, 4))
    assert trained[-1].loss < trained[0].loss / 2
    assert set(trained[0].parts) == {"cross_entropy"}
    advanced = [event.fraction for event in events if isinstance(event, Advanced)]
    assert advanced == sorted(advanced)
    assert advanced[-1] == 1.0


def test_the_log_is_the_history(tmp_path):
    result = train(Toy(), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [(x["kind"], x["step"]) for x in lines] == [
        ("trained", 4), ("validated", 5), ("trained", 8), ("validated", 10), ("trained", 12),
        ("validated", 12),
    ]  # fmt: skip
    expected = {"loss", "parts", "lr", "images_per_second", "accuracy", "seconds_left", "epoch"}
    assert expected <= set(lines[0])


def test_an_unfinished_interval_is_logged_at_the_end(tmp_path):
    result = train(Toy(), tmp_path, RECIPE.changed(log_every=5), val=None)
    assert [line["step"] for line in result.history] == [5, 10, 12]


def test_equal_runs_are_equal_to_the_bit(tmp_path):
    models = [Toy(noise=0.1) for _ in range(2)]
    results = [train(model, tmp_path / str(i)) for i, model in enumerate(models)]
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert timeless(results[0].history) == timeless(results[1].history)
    other = Toy(noise=0.1)
    train(other, tmp_path / "other", RECIPE.changed(seed=1))
    assert not torch.equal(weights(models[0]), weights(other))


def test_global_generators_stay_untouched(tmp_path):
    import random

    import numpy as np

    model, teacher = Toy(noise=0.1), Toy(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    recipe = RECIPE.changed(augment="rmeeto", distill_weight=0.5)
    train(model, tmp_path, recipe, teacher=teacher)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_anomaly_mode_is_off(tmp_path, monkeypatch):
    seen = []
    forward = Toy.forward

    def spy(self, x):
        seen.append(torch.is_anomaly_enabled())
        return forward(self, x)

    monkeypatch.setattr(Toy, "forward", spy)
    train(Toy(), tmp_path)
    assert not any(seen)


@pytest.mark.parametrize(("keep", "expected"), [("last", "last"), ("ema", "ema")])
def test_the_model_ends_with_what_was_asked_for(tmp_path, keep, expected):
    plain = Toy()
    train(plain, tmp_path / "plain", RECIPE.changed(keep="last"))
    model = Toy()
    result = train(model, tmp_path / keep, RECIPE.changed(keep=keep))
    assert (result.kept, result.kept_step) == (expected, 12)
    assert torch.equal(weights(model), weights(plain)) == (keep == "last")


def test_the_best_on_validation_is_kept(tmp_path):
    """A learning rate that destroys the weights after the first validation."""
    model, events = Toy(), []

    class Spoils(Toy):
        pass

    def on_event(event):
        events.append(event)
        if isinstance(event, Validated) and event.step == 10:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()

    recipe = RECIPE.changed(ema_decay=None, validate_every=10)
    result = train(model, tmp_path, recipe, on_event=on_event)
    scores = [event.accuracy for event in events if isinstance(event, Validated)]
    assert scores[0] > scores[1]
    assert (result.kept_step, result.best_accuracy) == (10, scores[0])
    assert weights(model).abs().max() > 0.05


def test_only_validation_images_decide(tmp_path):
    """With shuffled validation labels another step may win, but training is the same."""
    one, other = Toy(), Toy()
    kept_last = RECIPE.changed(keep="last")
    train(one, tmp_path / "a", kept_last)
    train(other, tmp_path / "b", kept_last, val=images(24, seed=7))
    assert torch.equal(weights(one), weights(other))


def test_without_validation_images_the_last_weights_stay(tmp_path):
    result = train(Toy(), tmp_path, val=None)
    assert (result.kept, result.last_accuracy, result.best_accuracy) == ("last", None, None)


def test_distillation_pulls_towards_the_teacher(tmp_path):
    teacher = Toy(3)
    for parameter in teacher.parameters():
        parameter.data *= 5
    frozen = weights(teacher)
    gaps = []
    for weight in (0.0, 5.0):
        model = Toy()
        recipe = RECIPE.changed(
            max_steps=60, lr=0.03, distill_weight=weight, keep="last", augment="none"
        )
        train(model, tmp_path / str(weight), recipe, teacher=teacher)
        (batch,) = eval_batches(VAL, PREPROCESSING, len(VAL))
        p, q = (m(batch.images).softmax(1) for m in (model, teacher))
        gaps.append((p - q).abs().mean().item())
    assert gaps[1] < 0.5 * gaps[0]
    assert torch.equal(weights(teacher), frozen)


def test_cycled_views_train_the_same_with_and_without_memory(tmp_path, monkeypatch):
    """The memory must not change a thing but the rounding to fp16 that both get."""
    from rmeeto.retrain import run as module

    computed = []
    results = []
    for remember in (True, False):

        class Watched(module.Teacher):
            def __call__(self, views, remember=remember):
                logits = super().__call__(views)
                computed.append(self.computed)
                if not remember:
                    self._rows.clear()
                return logits

        monkeypatch.setattr(module, "Teacher", Watched)
        model = Toy()
        recipe = RECIPE.changed(views=1, max_steps=15, distill_weight=1.0, augment="rmeeto")
        train(model, tmp_path / str(remember), recipe, teacher=Toy(3))
        results.append(weights(model))
    assert torch.equal(*results)
    assert computed[14] == 5 * 16  # one epoch of five batches
    assert computed[-1] == 15 * 16


class Watches(Toy):
    """Notes the types of its logits."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def forward(self, x):
        logits = super().forward(x)
        self.seen.add(logits.dtype)
        return logits


def test_bf16_trains_with_fp32_weights(tmp_path):
    model = Watches()
    result = train(model, tmp_path, RECIPE.changed(max_steps=40, precision="bf16", augment="none"))
    assert model.seen == {torch.bfloat16}
    assert weights(model).dtype == torch.float32
    assert result.best_accuracy > 0.8


def test_data_fraction_leaves_validation_whole(tmp_path):
    events = []
    recipe = RECIPE.changed(epochs=1.0, max_steps=None, data_fraction=0.5)
    result = train(Toy(), tmp_path, recipe, on_event=events.append)
    assert result.steps == 2
    validated = [event for event in events if isinstance(event, Validated)]
    assert all(event.images == len(VAL) for event in validated)


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_number_that_is_not_finite_stops_the_run(tmp_path, poison):
    class Breaks(Toy):
        step = 0

        def forward(self, x):
            logits = super().forward(x)
            if not self.training:
                return logits
            self.step += 1
            if self.step == 7 and poison == "loss":
                return logits * float("nan")
            if self.step == 7:
                logits.register_hook(lambda g: g * float("inf"))
            return logits

    recipe = RECIPE.changed(checkpoint_every=2, log_every=3, ema_decay=None)
    with pytest.raises(NonFiniteLossError) as caught:
        train(Breaks(), tmp_path, recipe)
    text = str(caught.value)
    assert "step 6 at learning rate 0.005" in text
    assert str(tmp_path / "checkpoint.pt") in text
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["state"]["step"] == 6
    assert all(v.isfinite().all() for v in saved["state"]["model"].values())


def test_no_checkpoint_yet_is_said_so(tmp_path):
    model = Toy()
    model.head.bias.data.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match="none yet"):
        train(model, tmp_path)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="batch_size 81"):
        train(Toy(), tmp_path, RECIPE.changed(batch_size=81))
    with pytest.raises(ConfigError, match="stochastic depth"):
        train(Toy(), tmp_path, RECIPE.changed(drop_path=0.1))
    model = Toy()
    model.num_classes = 10
    with pytest.raises(ConfigError, match="4 classes"):
        train(model, tmp_path)
    with pytest.raises(ConfigError, match=r"augment\.crop"):
        train(Toy(), tmp_path, RECIPE.changed(augment={"crop": "sideways"}))


@pytest.mark.parametrize(
    ("units", "expected"),
    [({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32")],
)
def test_auto_is_bf16_where_the_cpu_multiplies_it(tmp_path, monkeypatch, units, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    model = Watches()
    result = train(model, tmp_path, RECIPE.changed(max_steps=2, precision="auto"))
    assert result.precision == expected
    assert model.seen == {torch.bfloat16 if expected == "bf16" else torch.float32}
