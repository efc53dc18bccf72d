"""What a model gets right, with intervals: one forward pass, then metrics over arrays."""

from .calibration import (
    TemperatureBoundWarning,
    adaptive_ece,
    brier,
    ece,
    fit_temperature,
    nll,
)
from .classes import Flips, flips, per_class_accuracy, worst_class_accuracy
from .detection import (
    DetectionScores,
    EqualScoresWarning,
    ThresholdTransfer,
    aupr_in,
    aupr_out,
    auroc,
    detection_error,
    fpr95_id_positive,
    fpr95_ood_positive,
    oscr,
    threshold_at,
    threshold_transfer,
)
from .detection_intervals import detection_differences, detection_intervals
from .guarantee import RatioChoice, TestedRatio, accuracy_gap_bound, choose_ratio
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
from .selective import CascadeCurve, RiskCoverage, aurc, cascade_curve, risk_coverage

__all__ = [
    "CascadeCurve",
    "DetectionScores",
    "EqualScoresWarning",
    "Flips",
    "Interval",
    "Predictions",
    "RatioChoice",
    "RiskCoverage",
    "TemperatureBoundWarning",
    "TestedRatio",
    "ThresholdTransfer",
    "accuracies",
    "accuracy",
    "accuracy_gap_bound",
    "adaptive_ece",
    "aupr_in",
    "aupr_out",
    "aurc",
    "auroc",
    "bootstrap",
    "bootstrap_median",
    "brier",
    "cascade_curve",
    "choose_ratio",
    "correct",
    "detection_differences",
    "detection_error",
    "detection_intervals",
    "ece",
    "fit_temperature",
    "flips",
    "fpr95_id_positive",
    "fpr95_ood_positive",
    "mean_and_interval",
    "nll",
    "oscr",
    "paired_difference",
    "per_class_accuracy",
    "predict",
    "risk_coverage",
    "threshold_at",
    "threshold_transfer",
    "wilson",
    "worst_class_accuracy",
]
