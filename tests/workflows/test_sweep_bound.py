"""`sweep --max-drop`: the largest r whose lost accuracy is bounded, and what is refused."""

import numpy as np
import pytest

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.errors import ConfigError
from rmeeto.evaluation import accuracy_gap_bound
from rmeeto.reporting import RunRecord
from rmeeto.workflows import bounded, flat_options, options, sweep_run
from rmeeto.workflows.bounded import Cell

N = 4000
FULL = np.arange(N) % 10 > 0


def losing(count: int) -> np.ndarray:
    """Right where the full model is, but for some images."""
    right = FULL.copy()
    right[np.flatnonzero(FULL)[:count]] = False
    return right


def asked(**settings) -> options.SweepOptions:
    return flat_options(options.SweepOptions, {"methods": ("a",), "max_drop": 1.0, **settings})


def cells(*lost: int) -> list[Cell]:
    return [Cell(5 * k, 1 - 0.1 * k, losing(n)) for k, n in enumerate(lost)]


def test_the_largest_r_within_the_bound_is_chosen():
    given = asked()
    (found,) = bounded.choose(given, FULL, {"a": cells(0, 0, 12, 24, 200)})
    limits = {r: 100 * accuracy_gap_bound(FULL, losing(n), 0.05) for r, n in ((5, 0), (10, 12), (15, 24), (20, 200))}
    assert found.r == max(r for r, limit in limits.items() if limit < 1.0) == 15
    table = bounded.table(given, [found])
    assert [row[1] for row in table.rows] == [5, 10, 15, 20]
    assert [row[5] for row in table.rows] == ["yes", "yes", "yes", "no"]
    for row in table.rows:
        assert row[3] <= row[4] == pytest.approx(limits[row[1]])
    (verdict,) = bounded.verdicts(given, [found])
    assert (verdict.verdict, verdict.detail) == ("holds", "up to r = 15")


def test_testing_stops_at_the_first_failure():
    (found,) = bounded.choose(asked(), FULL, {"a": cells(0, 500, 0)})
    assert found.r == 0
    assert len(found.rows) == 1
    (verdict,) = bounded.verdicts(asked(), [found])
    assert verdict.verdict == "not verified"
    assert "r = 5" in verdict.detail
    assert "none for a" in bounded.headline(asked(), [found])


def test_several_methods_share_the_probability_of_being_wrong():
    alone = bounded.choose(asked(), FULL, {"a": cells(0, 24)})[0]
    two = bounded.choose(asked(methods=("a", "b")), FULL, {"a": cells(0, 24), "b": cells(0, 24)})
    assert [c.method for c in two] == ["a", "b"]
    assert two[0].rows[0][4] > alone.rows[0][4]
    assert two[0].rows[0][4] == pytest.approx(100 * accuracy_gap_bound(FULL, losing(24), 0.025))
    surer = bounded.choose(asked(confidence=0.99), FULL, {"a": cells(0, 24)})[0]
    assert surer.rows[0][4] > alone.rows[0][4]


def run(data, out, **settings) -> RunRecord:
    given = {"model": "vim_test", "data": str(data), "methods": ("rmeeto",), "rs": (2, 4), "out": out}
    return sweep_run.run(flat_options(options.SweepOptions, {**given, **settings}))


def test_the_sweep_says_it_and_reads_its_cells_again(data, tmp_path, monkeypatch):
    record = run(data, tmp_path, max_drop=60.0)
    assert RunRecord.load(tmp_path / "record.json") == record
    assert [row[1] for row in record.tables[0].rows] == [0, 2, 4]
    assert record.tables[1].title == "Bound on the accuracy lost (--max-drop 60)"
    assert len(record.verdicts) == 1
    monkeypatch.setattr(sweep_run.measure, "predict", None)  # a pass now would fail
    again = run(data, tmp_path, max_drop=50.0, confidence=0.9)
    assert again.tables[0] == record.tables[0]
    assert "90 %" in again.headline
    assert rmeeto.RunRecord.load(tmp_path / "record.json").tables[1].title.endswith("50)")


def test_without_max_drop_nothing_is_added(data, tmp_path):
    record = run(data, tmp_path)
    assert [row[1] for row in record.tables[0].rows] == [2, 4]
    assert len(record.tables) == 1
    assert record.verdicts == ()


@pytest.mark.parametrize(("given", "words"), [
    ({"max_drop": 0.01}, "percentage points"),  # no 48 images can show that
    ({"max_drop": 0.0}, "above 0"),
    ({"max_drop": 100.0}, "below 100"),
    ({"max_drop": 50.0, "confidence": 1.0}, "between 0 and 1"),
    ({"confidence": 0.9}, "--max-drop"),
])  # fmt: skip
def test_bad_settings_are_refused_before_any_pass(given, words, data, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(data, tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_the_way_out_that_the_refusal_names_works(data, tmp_path):
    with pytest.raises(ConfigError, match="48 images") as caught:
        run(data, tmp_path / "run", max_drop=1.0)
    way_out = float(caught.value.reason.split()[-1])
    assert run(data, tmp_path / "run", max_drop=way_out).verdicts


def test_the_command_line_prints_it(data, tmp_path, capsys):
    args = ["sweep", "--model", "vim_test", "--data", str(data), "--methods", "rmeeto", "--rs", "2"]
    args += ["--out", str(tmp_path)]
    assert main([*args, "--max-drop", "90", "--confidence", "0.8"]) == 0
    printed = capsys.readouterr().out
    assert "Largest r that loses less than 90 points, with 80 % confidence: 2 for rmeeto." in printed
    assert main([*args, "--max-drop", "0.01"]) == 1
    assert capsys.readouterr().err.startswith("asked: --max-drop 0.01")
