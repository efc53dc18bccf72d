"""Errors under the common corruptions: by name, and for each image, to pair models."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from experiments.cells import Cell
from experiments.lab import Lab
from rmeeto import Preprocessing
from rmeeto.backbones import Backbone
from rmeeto.data import take
from rmeeto.evaluation import Estimate, estimate, measure_corruptions

SEVERITIES = (1, 3, 5)


def corruption_errors(model: Backbone, lab: Lab, cell: Cell) -> dict[str, Any]:
    """Of ``lab.corrupted_images`` test images, equally many of each class."""
    test = lab.open(cell.data).test
    images = take(test, min(lab.corrupted_images, len(test)))
    preprocessing = Preprocessing(**model.config.preprocessing)
    found = measure_corruptions(model, images, preprocessing, severities=SEVERITIES)
    wrong = np.stack(list(found.wrong.values()))  # (corruptions, severities, images)
    return {
        "images": len(images),
        "cells": wrong.shape[0] * wrong.shape[1],
        "errors": {name: round(100 * float(rows.mean()), 2) for name, rows in found.wrong.items()},
        "wrong": base64.b64encode(wrong.sum((0, 1)).astype(np.uint8).tobytes()).decode(),
    }


def mean_error(found: dict[str, Any]) -> Estimate:
    """Mean over corruptions, severities and images; draws of equal images pair."""
    wrong = np.frombuffer(base64.b64decode(found["wrong"]), np.uint8) / found["cells"]
    return estimate(lambda picks: float(wrong[picks].mean()), found["images"])
