"""Where the experiments find models and images and leave results: the real place, or a tiny one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rmeeto
from experiments.cells import TUNE_IMAGES, TUNE_SHARE, Cell
from experiments.data import ROOT, Outliers, Splits, outliers, splits
from experiments.references import REFERENCES
from rmeeto.backbones import Backbone
from rmeeto.data import Subset, open_source, take
from rmeeto.data.demo import CLASSES
from rmeeto.profiling import Stop

VALIDATION_IMAGES = 1_000
"""Validation images of a re-training: for its curve, nothing is chosen on them."""
# What every re-training changes in the preset "small": the average is kept, not the best; bf16 where
# the machine is faster in it.
RECIPE = {"keep": "ema", "data_fraction": TUNE_SHARE, "precision": "auto"}


@dataclass(frozen=True)
class Lab:
    """Folders, images and sizes of a run of the experiments."""

    results: Path = ROOT / "results"
    """holds references/ and cells/"""
    runs: Path = ROOT / "runs"
    """holds the checkpoints of unfinished re-trainings"""
    open: Callable[[str], Splits] = splits
    """data set → its splits"""
    outliers: Callable[[str], Outliers] = outliers
    """data set → images of none of its classes"""
    train_images: int | None = TUNE_IMAGES
    validation_images: int | None = VALIDATION_IMAGES
    fit_images: int | None = 5_000
    """training images, equally many of each class, that scores are fitted on"""
    corrupted_images: int = 500
    """test images, equally many of each class, that are corrupted"""
    recipe: dict[str, Any] = field(default_factory=lambda: dict(RECIPE))
    batch_sizes: tuple[int, ...] = (1, 32, 128)
    stop: Stop = field(default_factory=lambda: Stop(budget_seconds=60.0))

    def reference_folder(self, cell: Cell) -> Path:
        """Folder of the model that the cell starts from."""
        return self.results / "references" / cell.reference

    def reference_fingerprint(self, cell: Cell) -> str | None:
        """Changes with the reference's weights; None where there is no such model yet."""
        folder = self.reference_folder(cell)
        if not (folder / "training.json").exists():
            return None  # the last file that the training of a reference writes
        return json.loads((folder / "config.json").read_text())["weights"]["sha256"][:16]

    def model(self, cell: Cell) -> Backbone:
        """The reference, in evaluation mode."""
        return rmeeto.load_model(self.reference_folder(cell))

    def cell_file(self, cell: Cell) -> Path:
        """Where the cell's result is."""
        return self.results / "cells" / f"{cell.id}.json"


def smoke_lab(folder: Path, images: int = 20) -> Lab:
    """A lab with narrow untrained references and a few demo images: every cell in a second.

    Depth and tokens are those of the real models, so every schedule is the real one.
    """
    lab = Lab(
        results=folder / "results", runs=folder / "runs", open=lambda name: _demo(images),
        outliers=lambda name: _demo_outliers(images),
        train_images=None, validation_images=None, fit_images=None, corrupted_images=4, batch_sizes=(1, 128),
        stop=Stop(repeats=3, min_seconds=0.0, budget_seconds=1.0, max_rounds=3),
        recipe={**RECIPE, "max_steps": 1, "batch_size": 4},
    )  # fmt: skip
    for name, reference in REFERENCES.items():
        target = lab.results / "references" / name
        if not (target / "training.json").exists():
            changes = {**reference.overrides, "embed_dim": 16, "num_classes": len(CLASSES)}
            rmeeto.save_model(rmeeto.create_model(reference.model, **changes), target)
            (target / "training.json").write_text("{}")
    return lab


def _demo(images: int) -> Splits:
    train, test = open_source("demo", "train"), open_source("demo", "test")
    halves = (Subset(train, range(k, len(train), 2)) for k in (0, 1))
    first, second = (take(half, images) for half in halves)  # some of every class
    return Splits(first, second, Subset(test, range(images)))


def _demo_outliers(images: int) -> Outliers:
    train, test = open_source("demo", "train"), open_source("demo", "test")
    sets = ("near: a", "far: b", "far: c")
    parts = {
        name: Subset(test, range(k * images, (k + 1) * images)) for k, name in enumerate(sets, 1)
    }
    return Outliers(Subset(train, range(2 * images, 3 * images)), parts)
