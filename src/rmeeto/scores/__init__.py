"""Out-of-distribution scores by name, larger = more out-of-distribution; docs/scores.md lists them.

```python
fitted = SCORES.get("vim")().fit(Outputs(logits, features), Head(weight, bias), fingerprint)
scores = fitted(Outputs(test_logits, test_features))  # (n,)
```
"""

from .adapter import DetectorScore, from_detector
from .base import Score
from .calibrated import KLMatching, TemperatureScaled
from .checks import NegativeFeaturesWarning
from .common import SCORES, restore, score_from_dict
from .fitted import Fitted
from .gradient import AdaScaleA, AdaScaleL, GradientScore, Odin
from .logits import GEN, MSP, Energy, Entropy, MaxLogit
from .mahalanobis import Mahalanobis, MahalanobisLayers, RelativeMahalanobis
from .neighbours import KNN, NNGuide
from .outputs import Head, Outputs
from .prototypes import FDBD, NCI, SHE, Separation
from .shaping import AshB, AshS, Dice, ReAct, Scale
from .subspace import Residual, ViM

__all__ = [
    "FDBD",
    "GEN",
    "KNN",
    "MSP",
    "NCI",
    "SCORES",
    "SHE",
    "AdaScaleA",
    "AdaScaleL",
    "AshB",
    "AshS",
    "DetectorScore",
    "Dice",
    "Energy",
    "Entropy",
    "Fitted",
    "GradientScore",
    "Head",
    "KLMatching",
    "Mahalanobis",
    "MahalanobisLayers",
    "MaxLogit",
    "NNGuide",
    "NegativeFeaturesWarning",
    "Odin",
    "Outputs",
    "ReAct",
    "RelativeMahalanobis",
    "Residual",
    "Scale",
    "Score",
    "Separation",
    "TemperatureScaled",
    "ViM",
    "from_detector",
    "restore",
    "score_from_dict",
]
