"""The runner on tiny models: every kind of cell, resumed, stale, out of time."""

import pytest
import torch
from experiments.cells import Cell
from experiments.corrupted import mean_error
from experiments.detection import KEPT, NAMES, ranks
from experiments.evidence import Evidence
from experiments.lab import smoke_lab
from experiments.outlier_cells import trained
from experiments.store import Result, claimed, load_results, state

import rmeeto
from experiments import environment, run
from rmeeto.evaluation import auroc

SMALL = "cifar10/vim_w48"  # one training-free cell and one re-training
KINDS = [
    Cell("cifar10/vim_w96", "free", "rmeeto_r5", {"name": "rmeeto", "r": 5}),
    Cell("cifar10/vit_w96", "free", "rmeeto_r4", {"name": "rmeeto", "r": 4, "metric": "k"}),
    Cell("cifar10/vim_w96", "tune", "rmeeto_r5", {"name": "rmeeto", "r": 5}, seed=1),
    Cell("cifar10/vim_w96", "speed", "rmeeto_r5", {"name": "rmeeto", "r": 5}),
    Cell("tin100/vim_w128", "detect", "unreduced"),
    Cell("tin100/vim_w128", "stale", "merged", {"name": "rmeeto", "r": 3}),
    *trained("merged", "energy_sep", (2,)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def finished(folder):
    """The lab after all kinds of cells have run once."""
    lab = smoke_lab(folder)
    run.run(KINDS, lab)
    return lab


def test_every_kind_leaves_its_file(finished):
    results = load_results(finished, KINDS)
    assert set(results) == {cell.id for cell in KINDS}
    free, vit, tuned, timed, *detected = (results[cell.id] for cell in KINDS)
    for result in (free, vit, tuned, *detected):
        assert len(result.right) == result.images == 20
        assert result.accuracy.value == pytest.approx(100 * result.right.mean())
    assert free.tokens[-1] == timed.tokens[-1] == 10
    assert tuned.training["steps"] == 1
    assert tuned.training["kept"] == "ema"
    assert tuned.recipe["seed"] == 1
    assert [s["batch_size"] for s in timed.speed["speedups"]] == [1, 128]
    assert "seconds" not in timed.speed["timings"][0]
    assert len(timed.speed["machine"]["load"]) == 3


def test_detection_is_kept_with_ranks_that_give_the_same_metrics(finished):
    for cell in KINDS[4:]:
        kept = Result.load(finished.cell_file(cell)).detection
        assert list(kept["images"]) == ["id", "near: a", "far: b", "far: c"]
        assert set(kept["scores"]) == set(NAMES)
        for name in KEPT:
            for title, pair in ranks(kept, name).items():
                said = kept["scores"][name][title]["auroc"][0]
                assert 100 * auroc(pair.id, pair.ood) == pytest.approx(said, abs=0.01)
        assert set(kept["geometry"]["sets"]) == set(kept["images"])
    plain = Result.load(finished.cell_file(KINDS[4])).detection
    assert set(plain["low_level"]) == {"sharpness", "brightness", "contrast"}
    errors = plain["corruptions"]["errors"]
    assert 100 * mean_error(plain["corruptions"]).value == pytest.approx(sum(errors.values()) / len(errors), abs=0.01)


def test_results_name_no_path(finished, folder):
    for cell in KINDS:
        assert str(folder) not in finished.cell_file(cell).read_text()


def test_results_pair_up(finished):
    Evidence(load_results(finished, KINDS))


def test_checkpoints_are_cleared_away(finished):
    assert not list(finished.runs.rglob("checkpoint.pt"))


def test_a_second_run_does_nothing(finished, capsys):
    run.run(KINDS, finished)
    assert capsys.readouterr().out.startswith("0 of 7 cells to run")


def test_an_unchanged_cell_comes_out_equal(finished):
    cell = KINDS[2]
    before = Result.load(finished.cell_file(cell))
    finished.cell_file(cell).unlink()
    run.run([cell], finished)
    after = Result.load(finished.cell_file(cell))
    assert (after.correct, after.predicted) == (before.correct, before.predicted)


def test_command_line(folder, capsys):
    arguments = ["--smoke", str(folder), "--only", SMALL]
    assert run.main([*arguments, "--minutes", "0"]) == 0
    assert capsys.readouterr().out.count("left for later") == 2
    assert run.main([*arguments, "--list"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("missing") == 2
    assert "2 cells" in listed
    assert run.main(arguments) == 0
    assert run.main([*arguments, "--list"]) == 0
    assert capsys.readouterr().out.count("done") == 2
    assert run.main(["--smoke", str(folder), "--only", "nothing"]) == 1


def test_a_changed_reference_makes_its_cells_stale(tmp_path, capsys):
    lab, cell = smoke_lab(tmp_path), Cell(SMALL, "free", "r0")
    run.run([cell], lab)
    old = Result.load(lab.cell_file(cell))
    model = lab.model(cell)
    with torch.no_grad():
        model.head.bias += 1
    rmeeto.save_model(model, lab.reference_folder(cell))
    capsys.readouterr()
    run.run([cell], lab)
    assert f"stale, runs again (its reference or settings changed): {cell.id}" in capsys.readouterr().out
    assert state(cell, lab) == "done"
    assert Result.load(lab.cell_file(cell)).reference != old.reference


def test_a_missing_reference_is_said_and_skipped(tmp_path, capsys):
    lab = smoke_lab(tmp_path)
    (lab.reference_folder(KINDS[0]) / "training.json").unlink()
    run.run([KINDS[0], KINDS[3]], lab)
    out = capsys.readouterr().out
    assert out.count("has no checkpoint yet; python experiments/references.py --only cifar10/vim_w96") == 1
    assert "0 of 2 cells" in out


def test_another_process_is_left_alone(tmp_path, capsys):
    lab = smoke_lab(tmp_path)
    with claimed(lab.runs / "cells" / f"{KINDS[0].id}.lock"):
        run.run(KINDS[:1], lab)
    assert "another process is at" in capsys.readouterr().out
    assert state(KINDS[0], lab) == "missing"


def test_the_process_gets_its_settings_once():
    assert set(environment.missing({})) == set(environment.SETTINGS)
    assert environment.missing(environment.SETTINGS) == {}
    assert "OMP_NUM_THREADS" not in environment.missing({"OMP_NUM_THREADS": "2"})


def test_expected_times_follow_what_was_measured(monkeypatch):
    now = iter([0.0, 600.0, 600.0])
    monkeypatch.setattr(run.time, "monotonic", lambda: next(now))
    pace = run.Pace({"a": 300.0, "b": 100.0})
    pace.done("a")  # took 600 s instead of 300
    assert pace.expected("b") == 200.0
    assert pace.left() == 200.0


def test_a_cell_of_another_process_says_nothing_of_the_pace():
    pace = run.Pace({"a": 300.0, "b": 100.0})
    pace.drop("a")
    assert (pace.expected("b"), pace.left()) == (100.0, 100.0)
