"""Numbers, the headline and the before/after table say what was measured."""

import dataclasses

import pytest

from rmeeto.reporting import LayerTokens, Metric, RunRecord, Table
from rmeeto.reporting.headline import headline, merged_share
from rmeeto.reporting.html import report_html
from rmeeto.reporting.measures import MEASURES, before_after, label, other_groups
from rmeeto.reporting.numbers import change, decimals, duration, number, plain_text, with_unit
from rmeeto.reporting.render import render_text


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (0.0123, "0.0123"),
        (1.5, "1.50"),
        (74.91, "74.9"),
        (412.7, "413"),
        (12345.6, "12 346"),
        (-6.18, "−6.18"),
        (1e-9, "0.0000"),
    ],
)
def test_number(value, shown):
    assert plain(number(value)) == shown


def test_number_signs():
    assert number(0.3, 1, signed=True) == "+0.3"
    assert number(-0.04, 1, signed=True) == "0.0"
    assert number(0.0, 1, signed=True) == "0.0"
    assert plain(with_unit(-6.2, "points", 1)) == "−6.2 points"
    assert with_unit(None, "ms") == "–"


def test_decimals_follow_the_interval():
    assert decimals(74.9, 0.85) == 1
    assert decimals(74.9, 0.12) == 2
    assert decimals(74.9, 3.0) == 0
    assert decimals(250.0, 0.01) == 0
    assert decimals(0.0) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0421, "42 ms"), (1.26, "1.3 s"), (42.4, "42 s"), (246, "4.1 minutes"), (9000, "2.5 hours")],
)
def test_duration(seconds, words):
    assert plain(duration(seconds)) == words


def test_change():
    assert plain(change(75, 100)) == "−25 %"
    assert plain(change(39, 100)) == "−61 %"
    assert plain(change(134, 100)) == "+34 %"
    assert change(340, 100) == "×3.40"


def test_plain_text():
    assert plain_text({"a": [1, 2.5], "b": None}) == "a: 1, 2.5; b: –"
    assert plain_text(True) == "yes"
    assert plain_text(-2e-5) == "−2e-05"


def test_headline_of_a_rebuild(full_record):
    assert plain(headline(full_record)) == (
        "Merged 31 % of the tokens, lost 6.2 points, got 5.9 back in 4.1 minutes; "
        "1.34× faster at batch 32."
    )


def stages(base=None, reduced=None, retrained=None, **more):
    values = {"baseline": base, "reduced": reduced, "retrained": retrained}
    metrics = [Metric("top1", v, "%", group=g) for g, v in values.items() if v is not None]
    return RunRecord("rebuild", metrics=metrics, **more)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (RunRecord("doctor"), "Results of rmeeto doctor."),
        (RunRecord("audit", headline="Nothing wrong found."), "Nothing wrong found."),
        (stages(80, 70), "Lost 10.0 points."),
        (stages(80, 80.01), "Lost no accuracy."),
        (stages(80, 81), "Gained 1.0 points."),
        (stages(80, 70, 69), "Lost 10.0 points, lost 1.0 more by re-training."),
        (stages(80, None, 78, timings={"retrain": 30}), "Lost 2.0 points in 30 s."),
        (stages(None, 60, 70), "Got 10.0 back."),
        (
            RunRecord("bench", metrics=[Metric("speedup@1", 0.8, "×"), Metric("speedup@64", 0.5)]),
            "2.00× slower at batch 64.",
        ),
    ],
)
def test_headline_without_parts(record, words):
    assert plain(headline(record)) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-2.0, 1.0, "Lost 0.5 points (within the noise)."),
        (-2.0, -0.1, "Lost 0.5 points."),
        (None, None, "Lost 0.5 points."),
    ],
)
def test_headline_admits_noise_in_accuracy(low, high, words):
    record = stages(80, 79.5)
    changed = Metric("top1_change", -0.5, "points", low=low, high=high, group="reduced")
    record = dataclasses.replace(record, metrics=(*record.metrics, changed))
    assert plain(headline(record)) == words


def test_headline_of_what_was_never_seen():
    values = {("near", "baseline"): 81.0, ("near", "retrained"): 80.26, ("far", "baseline"): 95.0}
    seen = [Metric(f"{kind}_auroc@energy", v, "%", group=stage) for (kind, stage), v in values.items()]
    record = stages(80, None, 79)
    record = dataclasses.replace(record, metrics=(*record.metrics, *seen))
    assert plain(headline(record)) == (
        "Lost 1.0 points; unknown images found (AUROC by energy): near 81.0 → 80.3 %."
    )


def test_headline_admits_noise_in_speed():
    record = RunRecord("bench", metrics=[Metric("speedup@8", 1.04, "×", low=0.97, high=1.1)])
    assert headline(record) == "No measurable change of speed at batch 8."


def test_merged_share_is_of_block_means():
    layers = [LayerTokens("baseline", [10, 10]), LayerTokens("reduced", [10, 5])]
    assert merged_share(RunRecord("x", tokens_per_layer=layers)) == pytest.approx(0.25)
    assert merged_share(RunRecord("x", tokens_per_layer=layers[:1])) is None


def test_the_papers_ratio_comes_out():
    before = LayerTokens("baseline", [197] * 24)
    after = LayerTokens("reduced", [197 - 11 * (i // 2) for i in range(24)])
    record = RunRecord("x", tokens_per_layer=[before, after])
    assert merged_share(record) == pytest.approx(0.307, abs=5e-4)


def test_before_after_lays_stages_side_by_side(full_record):
    table = before_after(full_record)
    assert table.stages == ("Baseline", "Training-free", "Re-trained")
    assert [s.title for s in table.sections] == ["Accuracy", "Speed", "Cost"]
    rows = {row.label: row for section in table.sections for row in section.rows}
    top1 = rows["Top-1"]
    assert [c.value for c in top1.cells] == ["74.9", "68.7", "74.6"]
    assert top1.cells[1].interval == "67.8–69.6"
    assert rows["Top-1, paired change"].cells[0] is None
    assert rows["Top-1, paired change"].cells[1].interval == "−6.7 to −5.6"
    assert rows["Speed-up, batch 32"].cells[2].value == "1.34×"
    assert rows["Images per second, batch 32"].cells[2].change == ""  # the row above says it
    latency = rows["Latency, median, batch 1"].cells[2]
    assert (plain(latency.change), latency.better) == ("+4 %", False)
    compute = rows["Compute, paper's count"].cells[2]
    assert (plain(compute.change), compute.better) == ("−28 %", True)


def test_batches_are_in_the_order_of_their_size():
    metrics = [Metric(f"images_per_s@{b}", 1.0, group="baseline") for b in (128, 1, 32)]
    (section,) = before_after(RunRecord("x", metrics=metrics)).sections
    assert [row.label.rsplit(" ", 1)[1] for row in section.rows] == ["1", "32", "128"]


def test_unknown_measures_come_last_under_their_own_name():
    metrics = [
        Metric("odd_thing", 3.0, "mm", group="baseline"),
        Metric("top1", 1.0, group="reduced"),
    ]
    sections = before_after(RunRecord("x", metrics=metrics)).sections
    assert [s.title for s in sections] == ["Accuracy", "Other"]
    assert sections[1].rows[0].label == "odd thing"


def test_metrics_of_no_stage_are_listed_by_group(full_record):
    groups = other_groups(full_record)
    assert list(groups) == ["Audit"]
    assert groups["Audit"][0].cells[0].note == "images with the same answer"
    assert before_after(RunRecord("x", metrics=[Metric("top1", 1.0)])) is None


def test_labels():
    assert label("latency_p95@8") == "Latency, 95 % within, batch 8"
    assert all(label(name) == words for name, (_, words) in MEASURES.items())


def test_unknown_value_shows_a_dash(full_record):
    broken = dataclasses.replace(full_record, metrics=[Metric("top1", None, "%", group="baseline")])
    assert before_after(broken).sections[0].rows[0].cells[0].value == "–"


def test_two_models_lie_side_by_side_with_a_verdict():
    change = {"low": 0.5, "high": 1.5, "group": "B − A"}
    metrics = [
        Metric("top1", 90.0, "%", low=89, high=91, group="A"),
        Metric("top1", 91.0, "%", low=90, high=92, group="B"),
        Metric("top1", 1.0, "points", **change),
        Metric("nll", 0.31, "nats", "lower", 0.29, 0.33, group="A"),
        Metric("nll", 1.0, "nats", "lower", **change),
        Metric("far_auroc@msp", 0.1, "points", low=-1, high=1, group="B − A"),
        Metric("far_fpr95@msp", None, "points", "lower", group="B − A"),
    ]
    table = before_after(RunRecord("audit", metrics=metrics))
    assert (table.title, table.stages) == ("Side by side", ("A", "B", "B − A, paired"))
    rows = {(s.title.split(":")[0], row.label): row.cells for s in table.sections for row in s.rows}
    top1, nll = rows["Accuracy", "Top-1"], rows["Calibration", "Negative log-likelihood"]
    assert [c.change for c in top1] == ["", "", "better"]
    assert (top1[2].better, nll[2].better, nll[1]) == (True, False, None)
    assert nll[2].value.startswith("+")
    (auroc,) = (
        cells for (title, name), cells in rows.items() if name == "msp" and "found" in title
    )
    assert (auroc[2].change, auroc[2].better) == ("same within interval", None)
    unknown = next(
        cells for (title, _), cells in rows.items() if title.startswith("Far OOD accepted")
    )
    assert unknown[2].change == "not measured"
    text = render_text(RunRecord("audit", metrics=metrics))
    assert "better)" in text


def test_a_folded_table_is_named_in_the_terminal_and_shown_in_the_report():
    table = Table("Every number", ("a",), ((12345,),), folded=True)
    record = RunRecord("x", tables=(table,))
    assert "Every number: 1 rows" in render_text(record)
    assert "12345" not in render_text(record)
    page = report_html(record)
    assert "12345" in page
    assert "<details>" in page
