"""docs/corruptions.md tells every registered corruption as it is."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rmeeto.data import CORRUPTIONS, ArraySource, Preprocessing

TEXT = (Path(__file__).parents[2] / "docs/corruptions.md").read_text()
ROWS = {
    cells[0].strip("`"): cells
    for cells in (
        [c.strip() for c in line.split("|")[1:-1]]
        for line in TEXT.splitlines()
        if line.startswith("| `")
    )
}


def test_all_corruptions_in_order():
    assert [*ROWS] == CORRUPTIONS.names()


@pytest.mark.parametrize("name", CORRUPTIONS.names())
def test_row(name):
    entry = CORRUPTIONS.get(name)
    _, family, kind, random, settings, what = ROWS[name]
    assert (family, kind, random) == (entry.family, entry.kind, "yes" if entry.random else "no")
    assert ("one channel" in what) == entry.colour
    said = entry.body.__doc__ or ""  # a docstring says "… severities … are ours" where they are
    if family != "perspective":
        assert (settings == "published") == ("ours" not in said.partition("severit")[2])


def test_example_runs():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    names = {
        "source": ArraySource(images, rng.integers(0, 2, 12)),
        "preprocessing": Preprocessing(8, channels=1, mean=(0.5,), std=(0.5,)),
        "before": model,
        "after": model,
    }
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1), names)
    assert names["foggy"].image(0).shape == (8, 8, 1)
    assert names["change"]["mean_error"].value == 0
