"""Made-up results of the experiments, with accuracies that a test chooses."""

import base64
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from experiments.cells import Cell
from experiments.detection import KEPT, pack_ranks
from experiments.evidence import Evidence
from experiments.grid import all_cells
from experiments.references import REFERENCES
from experiments.store import Result, pack

IMAGES = 4000
_DIFFICULTY = np.random.default_rng(0).permutation(IMAGES) / IMAGES


def made_up(cell: Cell, percent: float, speedup: float = 1.0) -> Result:
    """A result in which the easiest ``percent`` of the images are right, up to a little luck."""
    # The same image is easy for everyone, as in reality; seeds differ by a few images.
    luck = np.random.default_rng(cell.seed).normal(0, 0.005, IMAGES)
    right = _DIFFICULTY + luck < percent / 100
    macs = 1e8 * REFERENCES[cell.reference].overrides.get("embed_dim", 64) / 64
    share = 0.98 ** (cell.reducer or {}).get("r", 0)
    machine = {"cpu": "a processor", "cores": 2, "threads": 1, "load": [1.5, 1.0, 1.0]}
    ratio = {"value": speedup, "low": speedup - 0.01, "high": speedup + 0.01}
    timed = [{"label": "reduced", "batch_size": b, "ratio": ratio, "ceiling": 2.0} for b in (1, 32, 128)]
    return Result(
        cell=cell, fingerprint="", reference="", images=IMAGES, correct=pack(right), predicted="same",
        data={"test": cell.data}, tokens=[6], macs={"full": macs * share, "paper": macs * share},
        training={"minutes": 8.0 + 0.1 * cell.seed, "images": 30_000, "images_per_second": 60.0},
        speed={"speedups": timed, "machine": machine, "load_after": [1.2]}, machine=machine,
        detection=detected(cell) if cell.kind in ("detect", "stale", "trust") else {},
        created="2026-01-01T00:00:00+00:00", minutes=9.0,
    )  # fmt: skip


def detected(cell: Cell) -> dict:
    """Scores and features in which separation works and clustering alone does not, as in the paper."""
    oe, sep = "oe" in cell.label or "trust" in cell.label, "sep" in cell.label or "trust" in cell.label
    shift = 1.0 + 0.7 * oe + 0.6 * sep - 0.6 * ("pruned" in cell.label)
    draw = np.random.default_rng(0)  # the same images for all, with the luck of the seed on top
    luck = np.random.default_rng(cell.seed + 1)
    values = {
        title: draw.normal(apart, 1, 1000) + luck.normal(0, 0.02, 1000)
        for title, apart in (("id", 0.0), ("near: a", shift / 3), ("far: b", shift), ("far: c", shift + 0.2))
    }
    cosine = 0.5 * (1 - 0.3 * oe) * (0.1 if sep else 1) + 0.01 * cell.seed
    place = {"cosine": cosine, "outside": 0.5, "overlap": 0.8, "confidence": 0.4}
    return {
        "images": dict.fromkeys(values, 1000),
        "geometry": {"directions": 20, "collapse": {}, "sets": dict.fromkeys(values, place)},
        "corruptions": {"images": 50, "cells": 45, "wrong": base64.b64encode(bytes([9] * 50)).decode()},
        "ranks": dict.fromkeys(KEPT, pack_ranks(values)),
    }


@pytest.fixture(scope="session")
def world():
    """A function from (cell → accuracy in percent, cell → speed-up) to evidence of all cells."""

    def build(
        accuracy: Callable[[Cell], float], speedup: Callable[[Cell], float] = lambda cell: 1.0
    ) -> Evidence:
        return Evidence({c.id: made_up(c, accuracy(c), speedup(c)) for c in all_cells()})

    return build
