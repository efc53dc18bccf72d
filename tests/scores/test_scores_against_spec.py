"""Every score against the plain loops of scores_spec.py, and examples worked by hand."""

import math
from types import SimpleNamespace

import pytest
import score_data as data
import scores_spec as spec
import torch
from score_data import NAMES

from rmeeto.errors import ScoreError
from rmeeto.scores import SCORES, Head, Outputs
from rmeeto.scores.common import percentile_of

N, K, D = 90, 4, 9


def numbers(dtype, seed=0):
    """Overlapping classes, non-negative features, a general head; with perturbed twins."""
    g = data.generator(seed)
    centres = 2 * torch.rand(K, D, generator=g, dtype=torch.float64)
    labels = torch.randint(K, (N,), generator=g)
    features = (centres[labels] + 0.6 * torch.randn(N, D, generator=g, dtype=torch.float64)).abs()
    moved = (features + 0.2 * torch.randn(N, D, generator=g, dtype=torch.float64)).abs()
    weight = centres - centres.mean(0) + 0.1 * torch.randn(K, D, generator=g, dtype=torch.float64)
    bias = 0.2 * torch.randn(K, generator=g, dtype=torch.float64) - weight @ centres.mean(0)
    bias -= (centres - centres.mean(0)).square().sum(1) / 2
    h = Head(weight.to(dtype), bias.to(dtype))
    features, moved = features.to(dtype), moved.to(dtype)
    layers = tuple(layer(features) for layer in spec.EARLIER)
    return Outputs(h(features), features, labels, Outputs(h(moved), moved), layers), h


def as_numpy(outputs, head):
    return SimpleNamespace(
        logits=outputs.logits.double().numpy(),
        features=outputs.features.double().numpy(),
        labels=outputs.labels.numpy(),
        moved=outputs.perturbed.features.double().numpy(),
        W=head.weight.double().numpy(),
        b=head.bias.double().numpy(),
    )


CASES = [(name, {}) for name in NAMES] + [
    ("energy", {"temperature": 2.5}),
    ("gen", {"gamma": 0.4, "top": 2}),
    ("mahalanobis", {"shrinkage": 0.3}),
    ("knn", {"k": 7}),
    ("nnguide", {"k": 5}),
    ("vim", {"dim": 7}),
    ("residual", {"dim": 2}),
    ("react", {"percentile": 66.0}),
    ("ash_b", {"percentile": 60.0}),
    ("ash_s", {"percentile": 40.0}),
    ("scale", {"percentile": 0.0}),
    ("dice", {"percentile": 30.0}),
    ("nci", {"alpha": 0.05}),
    ("separation", {"reduction": "mean"}),
    ("odin", {"temperature": 3.0}),
    ("adascale_a", {"shifted": 30.0, "corrected": 50.0, "p_min": 20.0, "p_max": 90.0}),
    ("adascale_l", {"shifted": 60.0, "corrected": 20.0, "weight": 2.0, "p_min": 0.0}),
]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{n}-{len(s)}" for n, s in CASES])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_score_is_its_specification(name, settings, dtype):
    (outputs, head), score = numbers(dtype), SCORES.get(name)(**settings)
    train, test = outputs.rows(0, 70), outputs.rows(70, N)
    found = score.fit(train, head)(test)
    t, twins = as_numpy(train, head), as_numpy(test, head)
    wanted = []
    for i in range(len(test)):
        moved = (
            (test.perturbed.logits[i].double().numpy(), twins.moved[i]) if score.gradient else ()
        )
        wanted.append(getattr(spec, name)(t, twins.logits[i], twins.features[i], settings, *moved))
    tolerance = 1e-7 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(
        found, torch.tensor(wanted, dtype=dtype), rtol=tolerance, atol=tolerance
    )


def two(*rows):
    return Outputs(torch.tensor(rows, dtype=torch.float64))


def test_by_hand_two_classes():
    """Logits (log 3, 0): p = (3/4, 1/4)."""
    outputs = two((math.log(3), 0.0))
    wanted = {
        "msp": -0.75,
        "max_logit": -math.log(3),
        "energy": -math.log(4),
        "entropy": math.log(4) - 0.75 * math.log(3),
        "gen": 2 * (3 / 16) ** 0.1,
    }
    for name, value in wanted.items():
        assert SCORES.get(name)()(outputs).item() == pytest.approx(value)


def test_by_hand_temperature():
    """Three of four right at logits ±1 (a gap of 2): T = 2 / log 3 makes p = 3/4."""
    train = Outputs(torch.tensor([[1.0, -1.0]] * 4), labels=torch.tensor([0, 0, 0, 1]))
    fitted = SCORES.get("temperature_scaled")().fit(train)
    assert fitted.statistics["temperature"].item() == pytest.approx(2 / math.log(3))
    assert fitted(train)[0].item() == pytest.approx(-0.75)


def test_by_hand_distances():
    """Classes around (±2, 0) with variance 1 and 4: distance of (2, 4) is 16/4."""
    around = torch.tensor([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    features = torch.cat([around + torch.tensor([2.0, 0.0]), around - torch.tensor([2.0, 0.0])])
    labels = torch.tensor([0] * 4 + [1] * 4)
    train = Outputs(torch.zeros(8, 2), features, labels)
    test = Outputs(torch.zeros(1, 2), torch.tensor([[2.0, 4.0]]))
    assert SCORES.get("mahalanobis")().fit(train)(test).item() == pytest.approx(4.0)
    # All features: mean 0, variance 1 + 4 along the first axis.
    relative = SCORES.get("relative_mahalanobis")().fit(train)(test).item()
    assert relative == pytest.approx(4.0 - (4 / 5 + 16 / 4))
    # Directions (1, 0) and (0, 1) lie √2 apart.
    bank = Outputs(torch.zeros(2, 2), torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
    one = Outputs(torch.zeros(1, 2), torch.tensor([[7.0, 0.0]]))
    assert SCORES.get("knn")(k=2).fit(bank)(one).item() == pytest.approx(math.sqrt(2))
    assert SCORES.get("knn")(k=1).fit(bank)(one).item() == 0


def test_by_hand_residual():
    """u = −W⁺b = (−1, 0, 0); in-distribution features lie along the first axis."""
    head = Head(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]), torch.tensor([1.0, -1.0]))
    features = torch.tensor([[3.0, 0.1, 0.0], [3.0, -0.1, 0.0], [5.0, 0.0, 0.1], [5.0, 0.0, -0.1]])
    train = Outputs(head(features), features)
    h = torch.tensor([[9.0, 3.0, 4.0]])
    test = Outputs(head(h), h)
    assert SCORES.get("residual")(dim=1).fit(train, head)(test).item() == pytest.approx(5)
    vim = SCORES.get("vim")(dim=1).fit(train, head)
    assert vim.statistics["alpha"].item() == pytest.approx(5 / 0.1)


def test_by_hand_shaping():
    """h = (4, 2, 1, 1), the head passes features through."""
    head, h = Head(torch.eye(4), torch.zeros(4)), torch.tensor([[4.0, 2.0, 1.0, 1.0]])
    test = Outputs(head(h), h)

    def energy_of(*f):
        return -math.log(sum(math.exp(v) for v in f))

    half = {"percentile": 50.0}
    wanted = {
        "ash_b": energy_of(4, 4, 0, 0),
        "ash_s": energy_of(4 * math.exp(8 / 6), 2 * math.exp(8 / 6), 0, 0),
        "scale": energy_of(*(v * math.exp(8 / 6) for v in (4, 2, 1, 1))),
    }
    for name, value in wanted.items():
        assert SCORES.get(name)(**half)(test, head).item() == pytest.approx(value)
    # The median of the same four numbers is 1.5; half of the sixteen contributions are above 0.
    react = SCORES.get("react")(**half).fit(test, head)(test).item()
    assert react == pytest.approx(energy_of(1.5, 1.5, 1, 1))
    dice = SCORES.get("dice")(percentile=90.0).fit(test, head)(test).item()
    assert dice == pytest.approx(energy_of(4, 2, 0, 0))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_collapsed_feature_has_absolute_cosines_of_sum_two(classes):
    """Simplex ETF: Σ|cos| = 1 + (K − 1)/(K − 1) for a feature along its class's weight."""
    weight = torch.eye(classes) - 1 / classes
    head, h = Head(weight, torch.zeros(classes)), 3 * weight
    outputs = Outputs(head(h), h)
    total = -SCORES.get("separation")()(outputs, head) - outputs.logits.softmax(1).amax(1)
    torch.testing.assert_close(total, torch.full((classes,), 2.0))
    mean = -SCORES.get("separation")(reduction="mean")(outputs, head)
    torch.testing.assert_close(
        mean - outputs.logits.softmax(1).amax(1), torch.full((classes,), 2.0 / classes)
    )


@pytest.mark.parametrize(
    "name", [n for n in NAMES if SCORES.get(n).needs == "logits" and not SCORES.get(n).gradient]
)
def test_bfloat16_logits_rank_like_float32(name):
    g = data.generator(0)
    inside = torch.randn(2000, 10, generator=g) + 14 * torch.eye(10)[torch.arange(2000) % 10]
    outside = torch.randn(2000, 10, generator=g) + 9 * torch.eye(10)[torch.arange(2000) % 10]
    labels = (torch.arange(2000) + (torch.arange(2000) % 20 == 0)) % 10
    fitted = SCORES.get(name)().fit(Outputs(inside, labels=labels))

    def auroc(cast):
        return data.auroc(fitted(Outputs(cast(inside))), fitted(Outputs(cast(outside))))

    assert 0.9 < auroc(torch.Tensor.float) < 1
    assert auroc(torch.Tensor.bfloat16) == pytest.approx(auroc(torch.Tensor.float), abs=1e-3)
    assert auroc(torch.Tensor.half) == pytest.approx(auroc(torch.Tensor.float), abs=1e-3)


def test_she_without_correct_images_of_a_class():
    """Class 1 is never predicted correctly, so its pattern is the mean of those that are."""
    logits = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    features = torch.tensor([[2.0, 0.0], [5.0, 5.0], [0.0, 4.0]])
    fitted = SCORES.get("she")().fit(Outputs(logits, features, torch.tensor([0, 1, 2])))
    test = Outputs(torch.eye(3), torch.ones(3, 2))
    assert fitted(test).tolist() == [-2, -3, -4]
    with pytest.raises(ScoreError, match="no image predicted"):
        SCORES.get("she")().fit(Outputs(logits, features, torch.tensor([1, 1, 1])))


def test_gen_tells_confident_images_apart():
    scores = SCORES.get("gen")()(two((100.0, 0.0), (120.0, 0.0), (140.0, 0.0)))
    assert scores[0] > scores[1] > scores[2] > 0


@pytest.mark.parametrize("name", ["vim", "residual"])
@pytest.mark.parametrize("dim", [9, 512])
def test_nothing_outside_the_subspace_is_an_error(name, dim):
    outputs, head = numbers(torch.float32)
    with pytest.raises(ScoreError, match="d=9") as caught:
        SCORES.get(name)(dim=dim).fit(outputs, head)
    assert len(str(caught.value).splitlines()) == 3


def test_vim_without_any_residual_is_an_error():
    _, head = numbers(torch.float64)
    line = torch.rand(20, 1, generator=data.generator(0), dtype=torch.float64) * head.weight[:1]
    origin = -torch.linalg.pinv(head.weight) @ head.bias
    with pytest.raises(ScoreError, match="residuals"):
        SCORES.get("vim")(dim=3).fit(Outputs(head(origin + line), origin + line), head)


def test_one_image_a_class_has_no_variance():
    train = Outputs(torch.zeros(3, 3), torch.eye(3), torch.arange(3))
    with pytest.raises(ScoreError, match="variance"):
        SCORES.get("mahalanobis")().fit(train)


@pytest.mark.parametrize(("size", "k"), [(1, 1), (99, 1), (250, 2), (5000, 50), (9000, 50)])
def test_default_neighbours(size, k):
    assert SCORES.get("knn")().neighbours(size) == k


def test_more_neighbours_than_images():
    with pytest.raises(ScoreError, match="a bank of 90"):
        SCORES.get("knn")(k=91).fit(numbers(torch.float32)[0])


def test_nnguide_keeps_a_bank_of_the_size_asked_for():
    outputs, _ = numbers(torch.float32)
    assert SCORES.get("nnguide")(bank=30).fit(outputs).statistics["bank"].shape == (30, D)


@pytest.mark.parametrize("percent", [0.0, 12.5, 50.0, 90.0, 99.9, 100.0])
def test_percentile_is_the_quantile(percent):
    values = torch.randn(13, 7, generator=data.generator(1))
    torch.testing.assert_close(
        percentile_of(values, percent), values.flatten().quantile(percent / 100)
    )


def test_all_zero_features_score_the_bias():
    head = Head(torch.ones(3, 8), torch.tensor([1.0, 2.0, 3.0]))
    h = torch.zeros(2, 8)
    test = Outputs(head(h), h)
    for name in ("ash_b", "ash_s", "scale"):
        torch.testing.assert_close(
            SCORES.get(name)()(test, head), -head.bias.logsumexp(0).expand(2)
        )
