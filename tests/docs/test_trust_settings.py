"""docs/trust.md: its file is read by the recipe, and the defaults that it names are the code's."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from rmeeto.config import from_dict, to_dict
from rmeeto.objectives import TrustObjective
from rmeeto.retrain import RecipeFile

TEXT = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
FILE = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL).group(1)
NOT_DEFAULT = {"separation_ramp"}
ELSEWHERE = {"smoothing", "logit_norm", "distill_weight", "temperature", "feature_weight", "margins"}


def test_the_file_is_a_recipe(tmp_path):
    (tmp_path / "mine.toml").write_text(FILE)
    recipe = RecipeFile.load(tmp_path / "mine.toml").recipe
    assert recipe.logit_norm == 0.04
    assert recipe.max_drop == 2.0
    from_dict(TrustObjective, recipe.trust)


def test_its_values_are_the_defaults_and_none_is_left_out():
    given = tomllib.loads(FILE)["recipe"]["trust"]
    defaults = to_dict(TrustObjective())
    assert {k: v for k, v in given.items() if k not in NOT_DEFAULT} == {
        k: v for k, v in defaults.items() if k in given and k not in NOT_DEFAULT
    }
    assert set(given) | ELSEWHERE == {f.name for f in fields(TrustObjective)}
