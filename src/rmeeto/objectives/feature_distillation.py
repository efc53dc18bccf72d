"""A loss against a teacher's features."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ..errors import ShapeError
from .outlier import check_rows
from .supervised import at_least_float32


def feature_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """``L = (1/B) Σ_b (1 − cos(h_b, t_b))``: the student's features point where the teacher's do.

    Args:
        student: (B, C) inputs of the last linear layer, with gradient.
        teacher: (B, C) of the same images; no gradient flows into them.

    Returns:
        scalar in [0, 2]; lengths play no part.

    Raises:
        ShapeError: shapes that differ, or no images.

    Source: the cosine form of feature matching; its use as a repair of outlier detection follows
    Yang et al., arXiv 2603.11269; differs in: the teacher is the model before its reduction.
    """
    student = at_least_float32(check_rows(student, "features of the student"))
    teacher = teacher.detach().to(student.dtype)
    if student.shape != teacher.shape:
        raise ShapeError(
            "features of student and teacher of one shape",
            f"{tuple(student.shape)} and {tuple(teacher.shape)}",
            "use a teacher of the same width, or distil the logits only",
        )
    return (1 - functional.cosine_similarity(student, teacher, dim=-1)).mean()
