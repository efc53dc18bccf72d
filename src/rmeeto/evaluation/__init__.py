"""What a model gets right, with intervals: one forward pass, then metrics over arrays."""

from .intervals import (
    Interval,
    bootstrap,
    bootstrap_median,
    mean_and_interval,
    paired_difference,
    wilson,
)
from .metrics import accuracies, accuracy, correct
from .predict import Predictions, predict

__all__ = [
    "Interval",
    "Predictions",
    "accuracies",
    "accuracy",
    "bootstrap",
    "bootstrap_median",
    "correct",
    "mean_and_interval",
    "paired_difference",
    "predict",
    "wilson",
]
