import pytest
import torch

from rmeeto.objectives import Objective, cross_entropy, distillation

B, K = 5, 7


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(B, K, dtype=torch.float64, generator=generator)


@pytest.fixture
def other():
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.randn(B, K, dtype=torch.float64, generator=generator)


LABELS = torch.tensor([0, 6, 3, 3, 1])


def one_hot(labels):
    return torch.nn.functional.one_hot(labels, K).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_the_formula(logits, smoothing):
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    target = (1 - smoothing) * one_hot(LABELS) + smoothing / K
    expected = -(target * probabilities.log()).sum(1).mean()
    torch.testing.assert_close(cross_entropy(logits, LABELS, smoothing), expected)
    torch.testing.assert_close(cross_entropy(logits, one_hot(LABELS), smoothing), expected)


def test_smoothing_a_mixture_is_mixing_smoothed_labels(logits):
    a, b = one_hot(LABELS), one_hot(LABELS.flip(0))
    smooth = lambda t: 0.9 * t + 0.1 / K  # noqa: E731
    mixed = cross_entropy(logits, 0.3 * a + 0.7 * b, 0.1)
    torch.testing.assert_close(mixed, cross_entropy(logits, 0.3 * smooth(a) + 0.7 * smooth(b)))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_formula(logits, other, temperature):
    p, q = (other / temperature).softmax(1), (logits / temperature).softmax(1)
    expected = temperature**2 * (p * (p.log() - q.log())).sum() / B
    torch.testing.assert_close(distillation(logits, other, temperature), expected)


def test_distillation_is_zero_for_equal_logits_up_to_a_shift(logits):
    torch.testing.assert_close(
        distillation(logits, logits + 5), torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_no_gradient_flows_into_the_teacher(logits, other):
    student, teacher = logits.requires_grad_(), other.requires_grad_()
    distillation(student, teacher).backward()
    assert teacher.grad is None
    expected = (student.softmax(1) - teacher.softmax(1)) / B
    torch.testing.assert_close(student.grad, expected.detach())


def test_half_precision_is_computed_in_fp32(logits, other):
    half = logits.bfloat16()
    assert cross_entropy(half, LABELS).dtype == torch.float32
    torch.testing.assert_close(cross_entropy(half, LABELS), cross_entropy(half.float(), LABELS))
    assert distillation(half, other).dtype == torch.float32


def test_objective_adds_named_losses(logits, other):
    losses = Objective(smoothing=0.1, distill_weight=0.5, temperature=2.0)(logits, LABELS, other)
    assert list(losses) == ["loss", "cross_entropy", "distillation"]
    expected = cross_entropy(logits, LABELS, 0.1) + 0.5 * distillation(logits, other, 2.0)
    torch.testing.assert_close(losses["loss"], expected)


@pytest.mark.parametrize(("weight", "teacher"), [(0.0, True), (0.5, False)])
def test_objective_without_distillation(logits, other, weight, teacher):
    losses = Objective(0.1, weight)(logits, LABELS, other if teacher else None)
    assert list(losses) == ["loss", "cross_entropy"]
    assert losses["loss"] is losses["cross_entropy"]
