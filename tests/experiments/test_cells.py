"""The list of cells: sound, resolvable on its hosts, with the paper's token counts."""

from collections import defaultdict

import pytest
import torch
from experiments.cells import SEEDS
from experiments.cost import estimate
from experiments.grid import all_cells
from experiments.lab import Lab
from experiments.ledger import all_questions
from experiments.outlier_cells import outlier_cells
from experiments.references import REFERENCES

import rmeeto
from rmeeto.reducers import reducer_from_dict
from rmeeto.tokens import Reduction

CELLS = all_cells()


@pytest.fixture(scope="module")
def hosts():
    with torch.device("meta"):
        return {
            name: rmeeto.create_model(spec.model, num_classes=10, **spec.overrides)
            for name, spec in REFERENCES.items()
        }


def test_ids_are_unique_and_make_good_paths():
    ids = [cell.id for cell in CELLS]
    assert len(set(ids)) == len(ids)
    assert all(part and not part.startswith(".") for i in ids for part in i.split("/"))


def test_references_exist():
    assert {cell.reference for cell in CELLS} <= set(REFERENCES)


def test_a_label_means_one_thing_on_each_host():
    settings = defaultdict(set)
    for cell in CELLS:
        settings[cell.reference, cell.label].add(str(sorted((cell.reducer or {}).items())))
    assert all(len(found) == 1 for found in settings.values())


def test_every_reducer_fits_its_host(hosts):
    for cell in CELLS:
        if cell.reducer:
            Reduction(reducer_from_dict(cell.reducer), hosts[cell.reference])


@pytest.mark.parametrize(
    ("host", "r", "final"),
    [("fashion/vim_w64", 5, 142), ("fashion/vim_w64", 10, 87), ("fashion/vim_w64", 11, 76),
     ("fashion/vim_w64", 15, 32), ("fashion/vim_w64", 20, 6), ("cifar10/vim_w96", 5, 10)],
)  # fmt: skip
def test_token_counts_are_the_papers(hosts, host, r, final):
    assert Reduction(rmeeto.RMeeTo(r=r), hosts[host]).schedule.final == final


def test_rows_that_claims_compare_over_seeds_have_three():
    tuned = defaultdict(set)
    for cell in CELLS:
        if cell.kind == "tune" and "vim_w64" in cell.reference and cell.data == "fashion":
            tuned[cell.label].add(cell.seed)
    assert all(seeds == set(SEEDS) for seeds in tuned.values())


@pytest.mark.parametrize("about", ["accuracy and speed", "images of no class"])
def test_it_fits_the_budget(about):
    """About ten hours on two cores for each, by the estimate that does not need a reference."""
    outliers = list(outlier_cells())
    cells = outliers if about == "images of no class" else [c for c in CELLS if c not in outliers]
    assert 1 < sum(estimate(cell, Lab()) for cell in cells) / 3600 < 20


def test_commands_of_the_claims_name_cells():
    ids = [cell.id for cell in CELLS]
    for question in all_questions():
        for prefix in question.only:
            assert any(i.startswith(prefix) for i in ids), prefix
