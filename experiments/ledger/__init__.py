"""Every claim of the paper as a question to the cells."""

from __future__ import annotations

from .cost import cost_questions, faster_questions
from .elsewhere import elsewhere_questions
from .free import free_questions
from .hosts import CIFAR, ELASTIC, FASHION, OVERLAP
from .outliers import outlier_questions
from .questions import Finding, Question, Region
from .tuned import tuned_questions

__all__ = ["CIFAR", "ELASTIC", "FASHION", "OVERLAP", "Finding", "Question", "Region", "all_questions"]


def all_questions() -> list[Question]:
    """All of them, in the order of the table."""
    return [
        *free_questions(FASHION), *tuned_questions(FASHION), *cost_questions(FASHION),
        *faster_questions(ELASTIC, (1.2,)), *faster_questions(OVERLAP, (1.5,)),
        *free_questions(CIFAR), *tuned_questions(CIFAR), *cost_questions(CIFAR),
        *outlier_questions(), *elsewhere_questions(),
    ]  # fmt: skip
