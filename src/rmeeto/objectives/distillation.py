"""Losses against a teacher's logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .supervised import at_least_float32


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Kullback–Leibler divergence of the student from the teacher, mean over the batch.

    ``L = (T²/B) Σ_b Σ_k p_bk · (log p_bk − log q_bk)`` with ``p = softmax(teacher/T)`` and
    ``q = softmax(student/T)``. The factor T² keeps the gradient's size when T changes.

    Args:
        student: (B, K) logits that carry gradient.
        teacher: (B, K) logits; no gradient flows into them.
        temperature: T > 0; larger is softer.

    Returns:
        scalar ≥ 0 in nats.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2; R-MeeTo
    (arXiv 2412.12496) uses T = 1.
    """
    student = at_least_float32(student) / temperature
    teacher = teacher.detach().to(student.dtype) / temperature
    divergence = functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), reduction="batchmean", log_target=True
    )
    return divergence * temperature**2
