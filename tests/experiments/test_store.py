"""Results on disk: read back whole, known to be stale, claimed by one process at a time."""

from dataclasses import replace

import numpy as np
import pytest
from experiments.cells import Cell
from experiments.lab import Lab
from experiments.store import Result, claimed, identity, load_results, pack, state

from rmeeto.evaluation import Interval

FREE = Cell("fashion/vim_w64", "free", "rmeeto_r11", {"name": "rmeeto", "r": 11})
TUNE = Cell("fashion/vim_w64", "tune", "rmeeto_r11", {"name": "rmeeto", "r": 11})


@pytest.fixture
def lab(tmp_path):
    folder = tmp_path / "references" / FREE.reference
    folder.mkdir(parents=True)
    lab = Lab(results=tmp_path)
    write_reference(lab, "a" * 64)
    return lab


def write_reference(lab, sha):
    folder = lab.reference_folder(FREE)
    (folder / "config.json").write_text(f'{{"weights": {{"sha256": "{sha}"}}}}')
    (folder / "training.json").write_text("{}")


def result(lab, cell=FREE):
    fingerprint = identity(cell, lab, lab.reference_fingerprint(cell))
    return Result(cell=cell, fingerprint=fingerprint, reference="x", data={"test": "t"})


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_bits_come_back(n):
    right = np.random.default_rng(n).random(n) < 0.5
    found = replace(Result(FREE, "", ""), images=n, correct=pack(right))
    assert np.array_equal(found.right, right)


def test_round_trip(tmp_path):
    saved = Result(
        cell=TUNE, fingerprint="f", reference="r", images=3, accuracy=Interval(50, 40, 60, "%"),
        correct=pack(np.array([True, False, True])), tokens=[197, 6], macs={"full": 1.5},
        training={"minutes": 3.0, "validation": [{"epoch": 1.0}]}, machine={"load": [0.1]},
    )  # fmt: skip
    saved.save(tmp_path / "deep" / "cell.json")
    assert Result.load(tmp_path / "deep" / "cell.json") == saved


def test_states(lab):
    assert state(FREE, lab) == "missing"
    result(lab).save(lab.cell_file(FREE))
    assert state(FREE, lab) == "done"
    assert set(load_results(lab, [FREE, TUNE])) == {FREE.id}
    write_reference(lab, "b" * 64)
    assert state(FREE, lab) == "stale"
    assert load_results(lab, [FREE]) == {}
    (lab.reference_folder(FREE) / "training.json").unlink()
    assert state(FREE, lab) == "no reference"


def test_what_makes_a_result_stale(lab):
    own = identity(TUNE, lab, "reference")
    assert identity(TUNE, lab, "other") != own
    assert identity(replace(TUNE, recipe={"epochs": 6.0}), lab, "reference") != own
    assert identity(replace(TUNE, seed=1), lab, "reference") != own
    assert identity(TUNE, replace(lab, train_images=500), "reference") != own
    assert identity(TUNE, replace(lab, recipe={"keep": "last"}), "reference") != own
    assert identity(TUNE, replace(lab, recipe={**lab.recipe, "workers": 2}), "reference") == own
    assert identity(FREE, replace(lab, train_images=500), "x") == identity(FREE, lab, "x")


def test_one_process_at_a_time(tmp_path):
    with claimed(tmp_path / "cell.lock") as first, claimed(tmp_path / "cell.lock") as second:
        assert (first, second) == (True, False)
    with claimed(tmp_path / "cell.lock") as again:
        assert again
