"""Risk–coverage curves and the cascade of an audit: which half chooses, what is reported, what it costs."""

import numpy as np
import pytest
import torch

import rmeeto
from rmeeto.errors import ConfigError
from rmeeto.evaluation import aurc, cascade_curve, cascade_threshold
from rmeeto.reporting import RunRecord
from rmeeto.scores import Head, Outputs
from rmeeto.workflows.auditing import cascade, outputs
from rmeeto.workflows.auditing.cascade import CASCADE, ImageCost
from rmeeto.workflows.auditing.inputs import Candidate

N, K = 600, 4
LABELS = np.arange(N) % K
COST = ImageCost(10.0, 2.0, "ms", "made up")


def scored(letter: str, noise: float, labels=LABELS) -> outputs.Scored:
    """A classifier that is the less right, and the less sure, the more noise it has."""
    g = np.random.default_rng(len(letter) + int(10 * noise))
    logits = (4 * np.eye(K)[labels] + g.normal(0, 1 + noise, (len(labels), K))).astype(np.float32)
    kept = outputs.Kept(
        Outputs(torch.from_numpy(logits), None, torch.from_numpy(labels)),
        Head(torch.eye(K), torch.zeros(K)), letter, np.arange(len(labels)),
    )  # fmt: skip
    candidate = Candidate(letter, letter, torch.nn.Identity(), rmeeto.Preprocessing(32), letter)
    return outputs.Scored(candidate, kept, {})


A, B = scored("A", 0.3), scored("B", 1.0)


def by_name(extra) -> dict:
    return {m.name: m for m in extra.metrics}


def test_halves_share_every_class_and_no_image():
    labels = np.array([0] * 7 + [1] * 10 + [2])
    one, other = cascade.halves(labels, 3)
    assert sorted([*one, *other]) == list(range(18))
    assert np.abs(np.bincount(labels[one], minlength=3) - np.bincount(labels[other], minlength=3)).max() <= 1
    assert not np.array_equal(one, cascade.halves(labels, 4)[0])


def test_the_threshold_is_chosen_on_one_half_and_reported_on_the_other():
    found = by_name(cascade.cascade_extra(A, B, COST, 0))
    choosing, reported = cascade.halves(LABELS, 0)
    conf, small = cascade.answers(B)
    full = cascade.answers(A)[1]
    curve = cascade_curve(conf[choosing], small[choosing], full[choosing], 2.0, 10.0)
    threshold = cascade_threshold(curve, 100 * full[choosing].mean())
    handed = conf[reported] < threshold
    right = np.where(handed, full[reported], small[reported])
    assert found["cascade_top1"].value == pytest.approx(100 * right.mean())
    assert found["cascade_change"].value == pytest.approx(100 * (right.mean() - full[reported].mean()))
    assert found["cascade_cost"].value == pytest.approx(2 + 10 * handed.mean())
    assert found["cascade_cost"].value < 10
    assert found["cascade_cost_ratio"].value == pytest.approx(0.2 + handed.mean())
    assert all(m.group == CASCADE and m.low <= m.value <= m.high for m in found.values())


def test_what_the_reported_half_says_never_moves_the_threshold():
    """Other logits of B on the reported half change its figures, not the choice."""
    _, reported = cascade.halves(LABELS, 0)
    broken = scored("B", 1.0)
    broken.inside.outputs.logits[reported] = torch.eye(K)[(LABELS[reported] + 1) % K] * 1000
    before, after = (by_name(cascade.cascade_extra(A, b, COST, 0)) for b in (B, broken))
    assert after["cascade_top1"].value == 0  # surely wrong: nothing is handed on
    assert after["cascade_handed_on"].value == 0
    assert before["cascade_top1_a"] == after["cascade_top1_a"]


def test_the_curve_goes_from_b_alone_to_everything_handed_on():
    series = {s.name: s for s in cascade.cascade_extra(A, B, COST, 0).series}
    found = by_name(cascade.cascade_extra(A, B, COST, 0))
    first, last = series["cascade"].points[0], series["cascade"].points[-1]
    assert (first.x, last.x) == pytest.approx((2, 12))
    assert first.y == series["B alone"].points[0].y == found["cascade_top1_b"].value
    assert last.y == series["A alone"].points[0].y == found["cascade_top1_a"].value
    assert series["chosen"].points[0].x == pytest.approx(found["cascade_cost"].value)
    assert len(series["cascade"].points) > 10


def test_a_cascade_that_costs_more_than_a_says_so():
    dear = by_name(cascade.cascade_extra(A, B, ImageCost(10.0, 9.9, "ms", "made up"), 0))["cascade_cost_ratio"]
    assert dear.value > 1
    assert "A alone is cheaper" in dear.note
    assert "cheaper" not in by_name(cascade.cascade_extra(A, B, COST, 0))["cascade_cost_ratio"].note


def test_a_b_that_costs_as_much_makes_no_cascade():
    found = cascade.cascade_extra(A, B, ImageCost(4.0, 4.0, "ms", "made up"), 0)
    assert not found.metrics
    assert "no cascade" in found.notes[0]


def test_the_risk_curve_ends_at_the_error_rate_and_its_mean_is_the_aurc():
    (series,) = cascade.risk_extra([B], 0).series
    conf, right = cascade.answers(B)
    assert series.points[-1].x == 100
    assert series.points[-1].y == pytest.approx(100 * (~right).mean())
    assert np.mean([p.y for p in series.points]) == pytest.approx(100 * aurc(-conf, right), abs=3)
    assert series.points[0].y < series.points[-1].y


def test_measured_time_is_that_of_the_largest_batch():
    timings = [{"label": x, "batch_size": n, "images_per_second": s}
               for x, n, s in (("a", 1, 10.0), ("b", 1, 5.0), ("a", 32, 100.0), ("b", 32, 250.0))]  # fmt: skip
    cost = ImageCost.timed({"timings": timings}, "a", "b")
    assert (cost.a, cost.b, cost.unit) == (10, 4, "ms")
    assert "batch 32" in cost.source


def test_no_threshold_reaches_what_neither_model_does():
    curve = cascade_curve([0.1, 0.2], [True, False], [True, False], 1, 2)
    with pytest.raises(ConfigError, match="full model"):
        cascade_threshold(curve, 60.0)
    assert cascade_threshold(curve, 50.0) == 0.1  # nothing handed on


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m"
    rmeeto.save_model(rmeeto.create_model("vim_test", num_classes=3), path, {"classes": ["h", "v", "none"]})
    return str(path)


def test_an_audit_says_what_the_cost_is(saved, data, tmp_path):
    given = {"data": str(data), "draws": 20, "scores": ("msp",), "out": tmp_path / "run"}
    record = rmeeto.audit(saved, r=4, **given)
    assert RunRecord.load(tmp_path / "run" / "record.json") == record
    assert record.metric("cascade_cost").unit == "GMACs"
    groups = {s.group for s in record.series}
    assert {"Risk against coverage, by msp", "Cascade: accuracy against cost"} <= groups
    page = (tmp_path / "run" / "report.html").read_text()
    assert CASCADE in page
    assert "Cascade: accuracy against cost" in page
    timed = rmeeto.audit(saved, r=4, **given, speed=True, batches=(1, 2), speed_seconds=0.1)
    assert timed.metric("images_per_s@2", "A").value > 0
    a, b = (timed.metric("images_per_s@2", letter).value for letter in "AB")
    if b > a:
        assert timed.metric("cascade_cost").unit == "ms"
    else:
        assert any("no cascade" in w for w in timed.warnings)


def test_one_model_has_a_risk_curve_and_no_cascade(saved, data, tmp_path):
    given = {"data": str(data), "draws": 20, "scores": ("msp",), "out": tmp_path / "run"}
    record = rmeeto.audit(saved, **given)
    assert [s.name for s in record.series] == ["A"]
    with pytest.raises(ConfigError, match="two models"):
        rmeeto.audit(saved, **given, speed=True)


