"""Cells about images of no class: objectives against each other, with and without reduction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.cells import SEEDS, Cell, merge, prune

HOST = "tin100/vim_w128"
EARLY: dict[str, Any] = {"sites": [1], "metric": "b"}
R = 28
"""Tokens of 65 that go after the first block: 1.65 times fewer operations."""
REDUCERS = {"unreduced": None, "merged": merge(R, **EARLY), "pruned": prune(R, **EARLY)}

SHORT: dict[str, Any] = {"data_fraction": 1.0, "epochs": 2.0, "lr": 5e-4, "ema_decay": 0.998}
"""Every re-training: the same images, steps and outliers, so that only the objective differs."""
_NOTHING: dict[str, Any] = {
    "feature_weight": 0.0, "separation_weight": 0.0, "clustering_weight": 0.0,
}  # fmt: skip
CORRUPTED = ("unreduced", "merged", "merged_trust")
"""Labels whose errors under corruptions are measured too."""


def _outliers(**terms: Any) -> dict[str, Any]:
    return {"distill_weight": 0.0, "trust": {**_NOTHING, **terms}}


_MEAN: dict[str, Any] = {"separation_weight": 1.0, "clustering_weight": 1.0}
"""The paper's weights on the mean over classes that its text has; its CIFAR tables were made with the sum."""

OBJECTIVES: dict[str, dict[str, Any]] = {
    "oe": _outliers(),
    "oe_sep_clu_mean": _outliers(**_MEAN),
    "oe_sep_clu_mean10": _outliers(**{**_MEAN, "separation_weight": 10.0}),
    "oe_sep_clu": _outliers(**_MEAN, reduction="sum"),
    "ce": {"distill_weight": 0.0},
    "distil": {},
    "energy_sep": _outliers(exposure_weight=0.0, energy_weight=0.1, separation_weight=1.0),
    "oe_sep": _outliers(separation_weight=1.0),
    "oe_clu": _outliers(clustering_weight=1.0),
    "trust": {"trust": {}},
}
"""Name → changes to `SHORT`. OE and those from it are the paper's: no distillation. "trust" is what
``rmeeto rebuild --trust`` does."""
PAPER = "oe_sep_clu_mean"
"""The objective that stands for the paper's. Its sum over 100 classes, a hundred times this weight, drives the
features of ID images out of the subspace too: the cell of "oe_sep_clu" ends at chance."""


def trained(reducer: str, objective: str, seeds: tuple[int, ...] = SEEDS) -> list[Cell]:
    """One objective on one reduction, a cell a seed."""
    recipe = {**SHORT, **OBJECTIVES[objective]}
    label = f"{reducer}_{objective}"
    return [Cell(HOST, "trust", label, REDUCERS[reducer], recipe, seed) for seed in seeds]


def outlier_cells() -> Iterator[Cell]:
    """What answers the claims first; the rest of the product last."""
    for name, reducer in REDUCERS.items():
        yield Cell(HOST, "detect", name, reducer)
    yield Cell(HOST, "stale", "merged", REDUCERS["merged"])
    yield Cell(HOST, "stale", "pruned", REDUCERS["pruned"])
    for seed in SEEDS:
        for objective in ("oe", PAPER):
            yield from trained("unreduced", objective, (seed,))
    for objective in ("oe_sep_clu", "oe_sep_clu_mean10"):
        yield from trained("unreduced", objective, SEEDS[:1])
    yield from trained("merged", "trust")
    yield Cell(HOST, "speed", "merged", REDUCERS["merged"])
    for objective in ("oe_sep", "oe_clu"):
        yield from trained("unreduced", objective, SEEDS[:1])
    yield from trained("unreduced", "ce", SEEDS[:1])
    for reducer in ("merged", "pruned"):
        for objective in ("ce", "distil", "oe", PAPER, "energy_sep"):
            yield from trained(reducer, objective)
    for objective in ("ce", "distil", "energy_sep"):
        yield from trained("unreduced", objective, SEEDS[1:] if objective == "ce" else SEEDS)
    for objective in ("oe_sep", "oe_clu"):
        yield from trained("unreduced", objective, SEEDS[1:])
