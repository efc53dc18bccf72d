"""What a model makes of images of none of its classes: scores, where the features lie, and ranks that pair models."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from experiments.cells import Cell
from experiments.data import part
from experiments.lab import Lab
from rmeeto import Preprocessing
from rmeeto.backbones import Backbone
from rmeeto.data import ImageSource, low_level
from rmeeto.evaluation import (
    DetectionScores,
    Estimate,
    collect,
    detection_estimates,
    neural_collapse,
    outside_classes,
    predicted_cosine,
    subspace_overlap,
)
from rmeeto.objectives import principal_basis
from rmeeto.scores import SCORES, Head, Outputs
from rmeeto.workflows.options import TIER_1

NAMES = (*TIER_1, "separation")
KEPT = ("msp", "energy", "separation")
"""Scores of which every image's rank is kept."""
METRICS = ("auroc", "fpr95_id_positive", "fpr95_ood_positive")

Values = dict[str, np.ndarray]
"""Set ("id" first, then the OOD sets) → (n,) outlier scores."""


def detection(
    model: Backbone, lab: Lab, cell: Cell, fitted_on: Backbone | None = None
) -> dict[str, Any]:
    """All of it, as plain values for the cell's file.

    Args:
        fitted_on: whose outputs the scores are fitted on; None: the model's own, as it should be.
    """
    sets = lab.open(cell.data)
    outside = lab.outliers(cell.data).test
    found = {"id": _outputs(model, sets.test)[0]}
    found |= {title: _outputs(model, source)[0] for title, source in outside.items()}
    learnt = fitted_on or model
    fit, head = _outputs(learnt, part(sets.train, lab.fit_images))
    held_out, _ = _outputs(learnt, part(sets.validation, lab.validation_images))
    values = {name: _score(name, fit, held_out, head, found) for name in NAMES}
    return {
        "images": {title: len(each) for title, each in found.items()},
        "sources": {title: source.fingerprint() for title, source in outside.items()},
        "scores": {name: _metrics(each) for name, each in values.items()},
        "geometry": _geometry(found, fit, head),
        "ranks": {name: pack_ranks(values[name]) for name in KEPT},
    }


def low_level_baselines(lab: Lab, cell: Cell) -> dict[str, Any]:
    """The same metrics for sharpness, brightness and contrast of the images, without a model."""
    sources: dict[str, ImageSource] = {"id": lab.open(cell.data).test}
    sources |= lab.outliers(cell.data).test
    found = {title: low_level(source) for title, source in sources.items()}
    return {
        name: _metrics({title: each[name] for title, each in found.items()})
        for name in found["id"]
    }


def ranks(detection: Mapping[str, Any], score: str) -> dict[str, DetectionScores]:
    """OOD set → ranks of the ID images and of its own, of a cell's file; they tie as the scores did."""
    packed = np.frombuffer(base64.b64decode(detection["ranks"][score]), np.uint16)
    sizes = detection["images"]
    starts = np.cumsum([0, *sizes.values()])
    each = {
        title: packed[start : start + size].astype(np.float64)
        for (title, size), start in zip(sizes.items(), starts, strict=False)
    }
    inside = each.pop("id")
    return {title: DetectionScores(inside, outside) for title, outside in each.items()}


def _outputs(model: Backbone, source: ImageSource) -> tuple[Outputs, Head]:
    found = collect(model, source, Preprocessing(**model.config.preprocessing))
    logits, features = (torch.from_numpy(found.run.parts[k]) for k in ("logits", "features"))
    return Outputs(logits, features, torch.from_numpy(found.run.labels)), found.head


def _score(name: str, fit: Outputs, held_out: Outputs, head: Head, sets: dict[str, Outputs]) -> Values:
    score = SCORES.get(name)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a score supposes of features is told in the docs
        fitted = score.fit(held_out if score.held_out else fit, head, "")
        return {title: fitted(outputs).double().numpy() for title, outputs in sets.items()}


def _metrics(values: Values) -> dict[str, Any]:
    """OOD set → metric → value and interval in percent; "far" is the mean of the far sets."""
    found = {
        title: detection_estimates((DetectionScores(values["id"], each),), METRICS, stream=k)[0]
        for k, (title, each) in enumerate(values.items()) if title != "id"
    }  # fmt: skip
    far = [each for title, each in found.items() if title.startswith("far")]
    found["far"] = {name: Estimate.mean([each[name] for each in far]) for name in METRICS}
    return {
        title: {name: _rounded(each[name]) for name in METRICS} for title, each in found.items()
    }


def _rounded(found: Estimate) -> list[float]:
    interval = found.interval("%")
    return [round(x, 2) for x in (interval.value, interval.low, interval.high)]


def _geometry(sets: dict[str, Outputs], fit: Outputs, head: Head) -> dict[str, Any]:
    """Neural collapse on training images, and where ID and OOD features lie."""
    assert fit.features is not None
    assert fit.labels is not None
    shared = principal_basis(fit.features).shape[1]
    collapse = {k: round(v, 4) for k, v in asdict(neural_collapse(fit.features, fit.labels, head.weight)).items()}
    return {
        "collapse": collapse,
        "directions": shared,
        "sets": {title: _place(each, fit, head, shared) for title, each in sets.items()},
    }


def _place(outputs: Outputs, fit: Outputs, head: Head, shared: int) -> dict[str, float]:
    features, weight = outputs.features, head.weight
    assert features is not None
    assert fit.features is not None
    found = {
        "cosine": predicted_cosine(features, outputs.logits, weight).mean(),
        "outside": outside_classes(features, weight).mean(),
        "overlap": subspace_overlap(fit.features, features, shared),
        "confidence": outputs.logits.softmax(1).amax(1).mean(),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def pack_ranks(values: Values) -> str:
    """Ranks over all sets, base64 of 16 bits each: all that the metrics depend on."""
    distinct, rank = np.unique(np.concatenate(list(values.values())), return_inverse=True)
    assert len(distinct) <= 1 << 16
    return base64.b64encode(rank.astype(np.uint16).tobytes()).decode()

