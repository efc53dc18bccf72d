"""The reduction stored in R-MeeTo's own checkpoints is read as our settings."""

import argparse

import pytest
import torch

from rmeeto.backbones import read_rmeeto_args
from rmeeto.errors import WeightsError
from rmeeto.reducers import PruneRedundant, RMeeTo, reducer_from_dict

DEFAULTS = {
    "model": "RMeeTo_tiny", "num_prune": "5", "metric": "X", "distance": "cosine",
    "merge_interval": 2, "if_pruning": False, "if_order": True, "if_merge_odd": False,
    "merge_mode": "sum", "if_shuffle": False, "shuffle_rate": 0.3, "choose": "max", "compare": 11,
}  # fmt: skip


def read(tmp_path, **changes):
    args = argparse.Namespace(**{**DEFAULTS, **changes})
    torch.save({"model": {"a": torch.zeros(1)}, "args": args}, tmp_path / "x.pth")
    found = read_rmeeto_args(tmp_path / "x.pth")
    return None if found is None else reducer_from_dict(found)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, RMeeTo(r=5, sites="even")),
        ({"num_prune": 11, "if_merge_odd": True}, RMeeTo(r=11, sites="odd")),
        ({"merge_interval": 4, "metric": "delta"}, RMeeTo(r=5, sites=4, metric="delta")),
        ({"merge_mode": "amax", "choose": "7c"}, RMeeTo(r=5, sites="even", merge="max", kth=7)),
        ({"if_order": False}, RMeeTo(r=5, sites="even", ordered=False)),
        ({"if_shuffle": True}, RMeeTo(r=5, sites="even", shuffle=0.3)),
        ({"if_pruning": True}, PruneRedundant(r=5, sites="even")),
        ({"model": "RMeeTo_deit_small"}, RMeeTo(r=5, sites="all", metric="tokens")),
        ({"model": "RMeeTo_deit_small", "metric": "K"}, RMeeTo(r=5, sites="all", metric="k")),
        ({"num_prune": "0"}, None),
    ],
)
def test_settings(tmp_path, changes, wanted):
    assert read(tmp_path, **changes) == wanted


def test_other_files_hold_none(tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "x.pth")
    assert read_rmeeto_args(tmp_path / "x.pth") is None
    torch.save({"args": argparse.Namespace(lr=1)}, tmp_path / "x.pth")
    assert read_rmeeto_args(tmp_path / "x.pth") is None


@pytest.mark.parametrize("changes", [{"metric": "Z"}, {"num_prune": "many"}, {"choose": "best"}])
def test_unknown_values_are_refused(tmp_path, changes):
    with pytest.raises(WeightsError, match="give the reduction's settings yourself"):
        read(tmp_path, **changes)
