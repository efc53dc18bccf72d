"""Verdicts follow from the cells, whichever way they come out."""

import pytest
from experiments.charts import build_record
from experiments.claims import BEGIN, END, answers, claims_block, with_block
from experiments.evidence import Evidence
from experiments.grid import all_cells
from experiments.ledger import CIFAR, FASHION, Finding, Question, Region, all_questions

from rmeeto.evaluation import Interval
from rmeeto.reporting import claims_markdown
from rmeeto.reporting.html import report_html

ELSEWHERE = {q.id for q in all_questions() if q.find is None}


def as_in_the_paper(cell) -> float:
    """Accuracies with the shape of the paper's: what each claim expects, on a small scale."""
    reducer, label = cell.reducer or {}, cell.label
    if cell.reference in FASHION.smaller + CIFAR.smaller:
        return 80.0
    base, vit = 90.0, "vit" in cell.reference
    once = "sites" in reducer
    r = reducer.get("r", 0) * (0.1 if once else 1 if cell.data == "fashion" else 4)
    lost = 0.0004 * r**3.6 / (4 if vit else 1)
    if cell.kind == "tune":
        lost /= 15
        lost += {"epochs1": 3.0, "epochs6": -0.7, "data10": 5.0, "data30": 2.0}.get(label.rpartition("_")[2], 0)
    if not vit:
        lost += 6 * (not reducer.get("ordered", True)) + 8 * reducer.get("shuffle", 0)
    lost *= {"prune_redundant": 1.5, "prune_score": 3, "prune_random": 2}.get(reducer.get("name"), 1)
    worse = reducer.get("kth", 1) > 1 or reducer.get("merge", "sum") != "sum"
    return base - lost - 2 * (worse or (reducer.get("metric") in ("b", "c", "delta") and not once))


def fast(cell) -> float:
    return 1 + 0.045 * (cell.reducer or {}).get("r", 0) * (1 if cell.data == "fashion" else 4)


def verdicts(evidence) -> dict[str, str]:
    return {claim.id: claim.verdict for claim in answers(evidence)}


def test_nothing_holds_without_cells_but_the_flops():
    found = verdicts(Evidence({}))
    assert found.pop("flops") == "holds"
    assert set(found.values()) == {"not verified"}


def test_ids_are_unique():
    ids = [question.id for question in all_questions()]
    assert len(set(ids)) == len(ids)


def test_every_question_can_be_answered_from_the_listed_cells(world):
    for claim in answers(world(as_in_the_paper, fast)):
        assert claim.id in ELSEWHERE or claim.verdict != "not verified", claim.explanation


def test_a_world_like_the_papers(world):
    """In it nearly everything holds; what does not, for a reason that is in the made-up numbers."""
    found = verdicts(world(as_in_the_paper, fast))
    failed = {name for name, verdict in found.items() if verdict == "fails"}
    assert failed == EXPECTED_TO_FAIL


EXPECTED_TO_FAIL = {"spike-cifar10"}


def test_a_world_without_any_effect(world):
    """Equal accuracies everywhere support no difference, and no recovery has a meaning."""
    found = verdicts(world(lambda cell: 90.0))
    for name in ("merge-beats-prune", "order-vim", "order-more", "falls", "informative", "fragile-pruning"):
        assert found[f"{name}-fashion"] == "fails"
    assert found["recovers-fashion"] == "not verified"
    assert found["order-vit-fashion"] == "holds"
    assert found["drop-fashion"] == "holds"
    assert found["faster-1.2-fashion"] == "fails"


def test_an_opposite_world_is_refuted_in_words(world):
    def upside_down(cell) -> float:
        return 70 + 20 * ("prune_redundant" in cell.label) + 10 * ("unordered" in cell.label)

    claims = {claim.id: claim for claim in answers(world(upside_down))}
    for name in ("merge-beats-prune-fashion", "merge-beats-prune-tuned-fashion", "order-vim-fashion"):
        assert claims[name].verdict == "fails"
        assert claims[name].high < 0
        assert "wrong side" in claims[name].explanation


def test_an_interval_across_the_threshold_fails_and_says_so():
    judged = ask(Interval(0.2, -0.1, 0.5, "pt"))
    assert judged.verdict == "fails"
    assert "neither shown nor refuted" in judged.explanation


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.5, "holds"), (0.0, 0.5, "fails"), (-0.5, 0.0, "fails")]
)
def test_the_whole_interval_must_support_a_claim(low, high, verdict):
    assert ask(Interval((low + high) / 2, low, high, "pt")).verdict == verdict


def test_a_note_is_added_and_changes_nothing():
    judged = ask(Interval(1, 0.5, 2, "pt"), {"x": "Seen before"})
    assert judged.verdict == "holds"
    assert judged.explanation.endswith("Seen before.")


def ask(interval, notes=None):
    question = Question("x", "c", "s", "t", Region(0), find=lambda evidence: Finding(interval, "Facts"))
    return question.answer(Evidence({}), notes or {})


def test_of_the_settings_that_are_fast_enough_the_most_accurate_counts(world):
    """A faster point that loses more does not hide it; an accurate one that is too slow is no point."""

    def lossy(cell) -> float:
        return 90 - (5 if cell.label.startswith(("rmeeto_r20", "early")) else 0)

    claims = {c.id: c for c in answers(world(lossy, fast))}
    assert claims["faster-1.2-fashion"].measured == pytest.approx(0, abs=0.3)
    assert claims["faster-1.2-fashion"].verdict == "holds"
    claims = {c.id: c for c in answers(world(lossy, lambda cell: 1.3 if "_r20" in cell.label else 1.0))}
    assert claims["faster-1.2-fashion"].measured == pytest.approx(5, abs=0.3)
    assert claims["faster-1.2-fashion"].verdict == "fails"


def test_claims_read_well(world):
    claims = answers(world(as_in_the_paper, fast))
    block = claims_block(claims)
    for claim in claims:
        assert claim.threshold
        assert claim.source
        assert claim.command or claim.id in ("video", "information")
        assert claims_markdown([claim]).splitlines()[2] in block  # its row is in the README
    assert "nan" not in block


def test_the_block_is_replaced_and_nothing_else():
    text = "before\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n"
    assert with_block(text, BEGIN, END, "new\n") == "before\n<!-- claims -->\nnew\n<!-- /claims -->\nafter\n"
    assert with_block(with_block(text, BEGIN, END, "x\n"), BEGIN, END, "x\n") == with_block(text, BEGIN, END, "x\n")
    with pytest.raises(SystemExit):
        with_block("no marks", BEGIN, END, "new")


def test_the_report_shows_curves_speeds_and_verdicts(world):
    evidence = world(as_in_the_paper, fast)
    claims = answers(evidence)
    record = build_record(evidence, claims)
    names = {series.name for series in record.series}
    assert {"Vim merged", "Vim pruned", "ViT merged", "Vim merged, re-trained"} <= names
    assert len(record.tables[0].rows) == len(all_cells())
    assert len(record.verdicts) == len(claims)
    page = report_html(record)
    assert page == report_html(build_record(evidence, claims))
    assert "accuracy against measured speed" in page


def test_the_report_of_nothing():
    evidence = Evidence({})
    assert "0 measured cells" in report_html(build_record(evidence, answers(evidence)))


def test_no_claim_names_a_command_that_runs_no_cell():
    commands = [question._command() for question in all_questions()]
    assert not [c for c in commands if "--only &&" in c]
    assert Question("x", "c", "s", "t")._command() == "python experiments/claims.py"
    assert Question("x", "c", "s", "t", elsewhere="Needs a video input.")._command() == ""
