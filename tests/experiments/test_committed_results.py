"""What is committed is what the commands make of the committed cells."""

import json
from pathlib import Path

import pytest
from experiments.claims import BEGIN, END, NOTES, answers, claims_block, with_block, write_flops
from experiments.evidence import Evidence
from experiments.grid import all_cells
from experiments.lab import Lab
from experiments.ledger import all_questions
from experiments.store import load_results

from rmeeto.reporting import load_claims

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
AGAIN = "run python experiments/claims.py and commit what it writes"


@pytest.fixture(scope="module")
def claims():
    return load_claims(ROOT / "results" / "claims.json")


def test_the_readme_shows_the_ledger(claims):
    assert README.count(BEGIN) == README.count(END) == 1
    assert with_block(README, BEGIN, END, claims_block(claims)) == README, AGAIN


def test_the_ledger_follows_from_the_cells(claims):
    fresh = answers(Evidence(load_results(Lab(), all_cells())))
    assert [c.id for c in claims] == [c.id for c in fresh], AGAIN
    for old, new in zip(claims, fresh, strict=True):
        assert (old.verdict, old.threshold, old.claim) == (new.verdict, new.threshold, new.claim), AGAIN
        # Another version of NumPy may draw other resamples: the ends move by the width of a hair.
        for a, b in ((old.measured, new.measured), (old.low, new.low), (old.high, new.high)):
            assert a == pytest.approx(b, abs=0.3), (old.id, AGAIN)


def test_committed_cells_are_in_the_list():
    known = {Lab().cell_file(cell) for cell in all_cells()}
    assert set((ROOT / "results" / "cells").rglob("*.json")) <= known


def test_flops_table(tmp_path):
    write_flops(tmp_path / "flops.json")
    committed = json.loads((ROOT / "results" / "flops.json").read_text())
    assert json.loads((tmp_path / "flops.json").read_text()) == committed, AGAIN


def test_notes_are_about_claims():
    import tomllib

    assert set(tomllib.loads(NOTES.read_text())) <= {question.id for question in all_questions()}


def test_references_meet_what_was_promised():
    """Fashion-MNIST 90 %: the model that all its rows start from."""
    file = ROOT / "results" / "references" / "fashion" / "vim_w64" / "training.json"
    if not file.exists():
        pytest.skip("the reference is not committed yet: python experiments/references.py")
    assert json.loads(file.read_text())["test"]["top1"]["value"] >= 90
