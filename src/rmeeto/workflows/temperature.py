"""The temperature that is stored with a model: what it is, whether it still belongs to it."""

from __future__ import annotations

import math
from typing import Any

from ..backbones import Backbone
from ..data import Preprocessing
from .setup import deployed_fingerprint

KEY = "calibration"
"""Where a saved model's config.json keeps it, among what is saved beside the weights."""


def stored(
    temperature: float, model: Backbone, preprocessing: Preprocessing, images: int
) -> dict[str, Any]:
    """What is saved with a model: the temperature, and the fingerprint of what it was fitted to."""
    made_of = deployed_fingerprint(model, preprocessing)
    return {KEY: {"temperature": temperature, "fingerprint": made_of, "images": images}}


def temperature_of(model: Backbone, preprocessing: Preprocessing) -> tuple[float, list[str]]:
    """What the logits are divided by before the softmax, and warnings.

    Returns:
        The stored temperature; 1.0 where there is none, and 1.0 with a warning where it was fitted to
        other weights, another reduction or preprocessing, or is no positive number.
    """
    found = model.metadata.get(KEY)
    if found is None:
        return 1.0, []
    value = found.get("temperature") if isinstance(found, dict) else None
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return 1.0, [f"the model's stored temperature is {value!r}: left out, calibrate it again"]
    if found.get("fingerprint") != deployed_fingerprint(model, preprocessing):
        return 1.0, [
            "the model's stored temperature was fitted to other weights, another reduction or other "
            "preprocessing: left out, calibrate it again"
        ]
    return float(value), []
