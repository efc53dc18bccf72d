"""Corruption errors: hand-worked means, the reference against itself, pairing, and one real run."""

import numpy as np
import pytest
import torch
from torch import nn

from rmeeto.data import ArraySource, Preprocessing
from rmeeto.errors import ConfigError, DataError, ShapeError, UnknownNameError
from rmeeto.evaluation import (
    CorruptionErrors,
    correct,
    corruption_differences,
    corruption_estimates,
    corruption_intervals,
    measure_corruptions,
)

ALL = ("mean_error", "mce", "relative_mce")


def errors(clean, **wrong):
    rows = {name: np.array(table, bool) for name, table in wrong.items()}
    return CorruptionErrors(np.array(clean, bool), rows)


MODEL = errors([0, 0, 0, 1], fog=[[0, 0, 1, 1], [0, 1, 1, 1]], snow=[[0, 0, 0, 1], [1, 0, 0, 1]])
REFERENCE = errors(
    [0, 0, 0, 1], fog=[[0, 1, 1, 1], [1, 1, 1, 1]], snow=[[0, 0, 1, 1], [1, 1, 0, 1]]
)


def random_errors(seed, n=300, rate=0.4):
    rng = np.random.default_rng(seed)
    wrong = {name: rng.random((5, n)) < rate for name in ("fog", "snow", "frost")}
    return CorruptionErrors(rng.random(n) < 0.1, wrong)


def test_by_hand():
    # fog: (2 + 3) / 8 against (3 + 4) / 8; snow: (1 + 2) / 8 against (2 + 3) / 8; clean 1 / 4 both
    (found,) = corruption_estimates((MODEL,), REFERENCE, (*ALL, "fog", "snow"), n=5)
    assert found["fog"].value == 5 / 8
    assert found["snow"].value == 3 / 8
    assert found["mean_error"].value == 0.5
    assert found["mce"].value == pytest.approx((5 / 7 + 3 / 5) / 2)
    assert found["relative_mce"].value == pytest.approx((3 / 5 + 1 / 3) / 2)


def test_intervals_are_in_percent():
    found = corruption_intervals(MODEL, REFERENCE, n=50)
    assert found["mce"].value == pytest.approx(100 * (5 / 7 + 3 / 5) / 2)
    assert found["mce"].unit == "%"
    assert found["mean_error"].low < 50 < found["mean_error"].high


def test_the_reference_is_exactly_itself():
    model = random_errors(0)
    found = corruption_intervals(model, model, ("mce", "relative_mce"), n=200)
    for each in found.values():
        assert (each.value, each.low, each.high) == (100, 100, 100)


def test_identical_models_do_not_differ():
    found = corruption_differences(random_errors(0), random_errors(0), random_errors(1), ALL)
    assert {(d.value, d.low, d.high) for d in found.values()} == {(0, 0, 0)}


def test_difference_is_b_minus_a_and_paired():
    hard = np.arange(300) < 120  # images that both get wrong everywhere
    extra = (np.arange(300) >= 120) & (np.arange(300) < 150)
    a = CorruptionErrors(hard & False, {"fog": np.stack([hard] * 5)})
    b = CorruptionErrors(hard & False, {"fog": np.stack([hard | extra] * 5)})
    found = corruption_differences(a, b, metrics=("mean_error", "mce"))
    assert found["mean_error"].value == pytest.approx(10)
    assert found["mce"].value == pytest.approx(25)
    assert found["mean_error"].unit == "pt"
    assert min(found["mean_error"].low, found["mce"].low) > 0
    alone = corruption_intervals(a, a, ("mean_error",))["mean_error"]
    assert found["mean_error"].width < 0.8 * alone.width


def test_equally_good_models_cover_zero():
    hits = 0
    for seed in range(20):
        a, b = random_errors(seed), random_errors(100 + seed)
        hits += not corruption_differences(a, b, metrics=("mce",), n=200)["mce"].excludes(0)
    assert hits >= 16


def test_draws_are_bootstrap_draws():
    model = random_errors(3)
    per_image = model.per_image()[1:].mean(0)
    (found,) = corruption_estimates((model,), model, ("mean_error",), n=4000)
    assert found["mean_error"].draws.mean() == pytest.approx(per_image.mean(), abs=1e-3)
    assert found["mean_error"].draws.std() == pytest.approx(per_image.std() / 300**0.5, rel=0.06)
    again = corruption_estimates((model, model), model, ("mean_error",), n=4000)[1]["mean_error"]
    np.testing.assert_array_equal(again.draws, found["mean_error"].draws)


def test_resamples_without_reference_errors_are_left_out():
    one = errors([0] * 4, fog=[[1, 0, 0, 0]])
    found = corruption_intervals(one, one, ("mce",), n=100)
    assert (found["mce"].low, found["mce"].high) == (100, 100)


def test_a_corruption_that_costs_nothing():
    perfect = errors([0, 0], fog=[[0, 0]], snow=[[0, 1]])
    with pytest.raises(ShapeError, match="given: fog\n"):
        corruption_intervals(perfect, perfect, ("mce",))
    same = errors([0, 1], fog=[[0, 1]], snow=[[1, 1]])
    with pytest.raises(ShapeError, match="given: fog\n"):
        corruption_intervals(same, same, ("relative_mce",))
    assert corruption_intervals(perfect, perfect, ("mean_error",))["mean_error"].value == 25


def test_refusals():
    with pytest.raises(UnknownNameError, match="mce"):
        corruption_intervals(MODEL, REFERENCE, ("mcee",))
    with pytest.raises(ConfigError):
        corruption_intervals(MODEL, REFERENCE, n=0)
    with pytest.raises(ShapeError, match="same images"):
        corruption_intervals(random_errors(0), random_errors(0, n=20))
    moved = CorruptionErrors(MODEL.clean, MODEL.wrong, np.array([0, 1, 2, 9]))
    with pytest.raises(ShapeError, match="same images"):
        corruption_intervals(MODEL, moved)
    fewer = CorruptionErrors(MODEL.clean, {"fog": MODEL.wrong["fog"]})
    with pytest.raises(ShapeError, match="same corruptions"):
        corruption_intervals(MODEL, fewer)
    for clean, wrong in [([], {"fog": []}), ([0, 1], {}), ([0, 1], {"fog": [0, 1]})]:
        with pytest.raises(ShapeError):
            CorruptionErrors(
                np.array(clean, bool), {k: np.array(v, bool) for k, v in wrong.items()}
            )
    with pytest.raises(ShapeError):
        errors([0, 1], fog=[[0, 1, 1]])
    with pytest.raises(ShapeError):
        CorruptionErrors(MODEL.clean, MODEL.wrong, np.arange(3))


class Bright(nn.Module):
    """Class 1 where the mean is above a half."""

    def forward(self, images):
        mean = images.flatten(1).mean(1)
        return torch.stack([torch.full_like(mean, 0.5), mean], 1)


def source(repeat=1, broken=()):
    levels = np.array([100, 118, 200] * repeat, np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (len(levels), 8, 8, 1)).copy()
    bad = {i: DataError("an image", f"#{i}", "broken on purpose") for i in broken}
    return ArraySource(images, [0, 0, 1] * repeat, ["dark", "light"], "levels", broken=bad)


PLAIN = Preprocessing(8, channels=1, mean=(0.0,), std=(1.0,))


def test_measured():
    calls = []
    found = measure_corruptions(
        Bright(), source(), PLAIN, ["brightness"], on_progress=lambda *x: calls.append(x)
    )
    assert found.positions().tolist() == [0, 1, 2]
    assert not found.clean.any()
    # brightness adds 13, 26, 38, 51, 76 to 100 and 118; wrong above 127
    steps = [[0, 1, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]]
    np.testing.assert_array_equal(found.wrong["brightness"], np.array(steps, bool))
    assert calls[-1] == (6, 6)


def test_measured_alike_for_every_model():
    pair = [
        measure_corruptions(Bright(), source(), PLAIN, ["gaussian_noise"], (1, 5), seed=2)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(pair[0].wrong["gaussian_noise"], pair[1].wrong["gaussian_noise"])


def test_common_corruptions_by_default():
    found = measure_corruptions(Bright(), source(), PLAIN, severities=(1,))
    assert len(found.wrong) == 15
    with pytest.raises(ShapeError, match="one channel"):
        measure_corruptions(Bright(), source(), PLAIN, ["saturate"], (1,))


def test_clean_errors_are_those_of_correct():
    found = measure_corruptions(Bright(), source(), PLAIN, ["contrast"], (1,))
    logits = Bright()(torch.from_numpy(source().images / 255.0)).numpy()
    np.testing.assert_array_equal(~found.clean, correct(logits, np.array([0, 0, 1])))


def test_unreadable_images_are_left_out_of_every_cell():
    found = measure_corruptions(Bright(), source(80, broken=[0]), PLAIN, ["fog"], (1, 2))
    assert found.positions().tolist() == list(range(1, 240))
    assert found.wrong["fog"].shape == (2, 239)
