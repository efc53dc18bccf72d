"""What a model gets right, with intervals: one forward pass, then metrics over arrays."""

from .calibration import (
    TemperatureBoundWarning,
    adaptive_ece,
    adaptive_ece_of,
    brier,
    ece,
    ece_of,
    fit_temperature,
    image_brier,
    image_nll,
    nll,
    top_class,
)
from .classes import Flips, flips, per_class_accuracy, worst_class_accuracy
from .collect import Collected, collect, head_of, tapped
from .corrupted import measure_corruptions
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
from .detection_intervals import detection_differences, detection_estimates, detection_intervals
from .error_detection import error_detection
from .estimates import Estimate, estimate
from .guarantee import RatioChoice, TestedRatio, accuracy_gap_bound, choose_ratio
from .intervals import (
    Interval,
    bootstrap,
    bootstrap_median,
    mean_and_interval,
    paired_difference,
    wilson,
)
from .invariance import BatchInvariance, batch_order_invariance
from .metrics import accuracies, accuracy, correct
from .multilabel import real_accuracy, real_correct, real_difference
from .predict import Predictions, predict
from .robustness import (
    ROBUSTNESS,
    CorruptionErrors,
    corruption_differences,
    corruption_estimates,
    corruption_intervals,
)
from .selective import CascadeCurve, RiskCoverage, aurc, cascade_curve, risk_coverage

__all__ = [
    "ROBUSTNESS",
    "BatchInvariance",
    "CascadeCurve",
    "Collected",
    "CorruptionErrors",
    "DetectionScores",
    "EqualScoresWarning",
    "Estimate",
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
    "adaptive_ece_of",
    "aupr_in",
    "aupr_out",
    "aurc",
    "auroc",
    "batch_order_invariance",
    "bootstrap",
    "bootstrap_median",
    "brier",
    "cascade_curve",
    "choose_ratio",
    "collect",
    "correct",
    "corruption_differences",
    "corruption_estimates",
    "corruption_intervals",
    "detection_differences",
    "detection_error",
    "detection_estimates",
    "detection_intervals",
    "ece",
    "ece_of",
    "error_detection",
    "estimate",
    "fit_temperature",
    "flips",
    "fpr95_id_positive",
    "fpr95_ood_positive",
    "head_of",
    "image_brier",
    "image_nll",
    "mean_and_interval",
    "measure_corruptions",
    "nll",
    "oscr",
    "paired_difference",
    "per_class_accuracy",
    "predict",
    "real_accuracy",
    "real_correct",
    "real_difference",
    "risk_coverage",
    "tapped",
    "threshold_at",
    "threshold_transfer",
    "top_class",
    "wilson",
    "worst_class_accuracy",
]
