"""docs/scores.md tells every registered score as it is."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from rmeeto.scores import SCORES, from_detector

TEXT = (Path(__file__).parents[2] / "docs/scores.md").read_text()
LINES = [line.replace(r"\|", "¦") for line in TEXT.splitlines() if line.startswith("| `")]
ROWS = {
    cells[0].strip("`"): cells for cells in ([c.strip() for c in x.split("|")[1:-1]] for x in LINES)
}


def written(default):
    """A default as the table writes it: nothing for "chosen from the data", told in words."""
    if default is None:
        return ""
    return "()" if default == () else json.dumps(default)


def test_all_scores_in_order():
    assert [*ROWS] == SCORES.names()


@pytest.mark.parametrize("name", SCORES.names())
def test_row(name):
    cls = SCORES.get(name)
    _, needs, fitted, formula, source, defaults, caveat = ROWS[name]
    assert needs == cls.needs
    assert fitted == ("yes, labels" if cls.labelled else "yes" if cls.fitted else "no")
    assert formula
    assert source
    assert ("ReLU" in caveat) == cls.nonnegative
    assert ("input gradient" in caveat) == cls.gradient
    told = dict(part.partition("=")[::2] for part in re.findall(r"`(.*?)`", defaults))
    assert [*told] == [f.name for f in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        assert told[field.name] == written(field.default)


def test_example_runs():
    layer = torch.nn.Linear(6, 3)
    features, new_features = torch.rand(40, 6), torch.rand(5, 6)
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
    names = {
        "layer": layer,
        "features": features,
        "logits": layer(features).detach(),
        "labels": torch.arange(40) % 3,
        "new_features": new_features,
        "new_logits": layer(new_features).detach(),
        "fingerprint": "a",
        "fingerprint_now": "a",
    }
    exec(code, names)
    assert names["scores"].shape == (5,)
    assert from_detector.__name__ in TEXT
