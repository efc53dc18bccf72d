"""Input steps of ODIN and AdaSCALE against finite differences and hand-made loops."""

import pytest
import score_data as data
import torch

from rmeeto.errors import ConfigError, ScoreError, ShapeError
from rmeeto.scores import AdaScaleA, AdaScaleL, Head, Odin, Outputs

C, SIDE, D, K = 2, 3, 7, 4


@pytest.fixture
def model():
    g = data.generator(0)
    first = torch.randn(D, C * SIDE * SIDE, generator=g, dtype=torch.float64)
    head = Head(
        torch.randn(K, D, generator=g, dtype=torch.float64),
        torch.randn(K, generator=g, dtype=torch.float64),
    )

    def forward(images):
        features = torch.nn.functional.softplus(images.flatten(1) @ first.T)
        return Outputs(head(features), features)

    return forward, head


@pytest.fixture
def images():
    return torch.randn(5, C, SIDE, SIDE, generator=data.generator(1), dtype=torch.float64)


def slope(function, images):
    """Central differences of (n,) ``function`` in every value of (n, …) images."""
    found = torch.zeros_like(images)
    for place in range(images[0].numel()):
        step = torch.zeros_like(images[0]).flatten()
        step[place] = 1e-5
        step = step.view_as(images[0])
        found.flatten(1)[:, place] = (function(images + step) - function(images - step)) / 2e-5
    return found


def test_odin_steps_down_the_cross_entropy(model, images):
    forward, _ = model
    score = Odin(temperature=2.0, epsilon=0.01, std=(0.5, 0.25))
    best = forward(images).predicted

    def cross_entropy(x):
        return torch.nn.functional.cross_entropy(forward(x).logits / 2, best, reduction="none")

    sign = slope(cross_entropy, images).sign()
    wanted = images - 0.01 * sign / torch.tensor([0.5, 0.25]).view(2, 1, 1)
    outputs = score.outputs(forward, images)
    torch.testing.assert_close(outputs.perturbed.logits, forward(wanted).logits)
    confidence = (forward(wanted).logits / 2).softmax(1).amax(1)
    torch.testing.assert_close(score(outputs), -confidence)
    assert (-score(outputs) > (outputs.logits / 2).softmax(1).amax(1)).all()


@pytest.mark.parametrize("changed", [5.0, 30.0, 100.0])
def test_adascale_changes_the_values_that_matter_least(model, images, changed):
    forward, _ = model
    best = forward(images).predicted
    gradient = slope(lambda x: forward(x).logits.gather(1, best[:, None])[:, 0], images).flatten(1)
    wanted = images.clone().flatten(1)
    for i, row in enumerate(gradient):
        for j in row.abs().argsort()[: max(1, round(changed / 100 * len(row)))]:
            wanted[i, j] += 0.5 * row[j].sign()
    outputs = AdaScaleA(changed=changed).outputs(forward, images)
    expected = forward(wanted.view_as(images))
    torch.testing.assert_close(outputs.perturbed.features, expected.features)
    torch.testing.assert_close(outputs.perturbed.logits, expected.logits)


@pytest.mark.parametrize("score", [Odin(), AdaScaleA(), AdaScaleL()])
def test_end_to_end_image_by_image(model, images, score):
    forward, head = model
    labels = torch.arange(5) % K
    outputs = score.outputs(forward, images, labels)
    assert torch.equal(outputs.labels, labels)
    assert not outputs.logits.requires_grad
    assert not outputs.perturbed.logits.requires_grad
    assert not images.requires_grad
    others = torch.randn(40, C, SIDE, SIDE, generator=data.generator(2), dtype=torch.float64)
    fitted = score.fit(score.outputs(forward, others), head)
    with torch.no_grad():
        alone = torch.cat([fitted(score.outputs(forward, image[None])) for image in images])
    torch.testing.assert_close(fitted(outputs), alone)


@pytest.mark.parametrize("score", [Odin(), AdaScaleA()])
def test_a_model_without_gradients_is_refused(model, images, score):
    forward, _ = model
    for blocked in (
        lambda x: forward(x.detach()),
        lambda x: Outputs(torch.zeros(5, K).requires_grad_()),
    ):
        with pytest.raises(ScoreError, match="gradient"):
            score.outputs(blocked, images)


def test_odin_needs_one_std_a_channel(model, images):
    with pytest.raises(ShapeError):
        Odin(std=(1.0, 1.0, 1.0)).outputs(model[0], images)
    with pytest.raises(ConfigError, match="std"):
        Odin(std=(0.0,))


def test_adascale_f_is_made_of_so_many_images():
    train = data.in_distribution(60)
    fitted = AdaScaleA(images=20).fit(train, data.head())
    assert fitted.statistics["shifts"].shape == (20,)
