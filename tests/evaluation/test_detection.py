"""Detection metrics: plain loops, scikit-learn, the two senses of FPR95, ties, refusals."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmeeto.errors import ConfigError, ShapeError
from rmeeto.evaluation import (
    DetectionScores,
    EqualScoresWarning,
    aupr_in,
    aupr_out,
    auroc,
    detection_error,
    fpr95_id_positive,
    fpr95_ood_positive,
    oscr,
    threshold_at,
    threshold_transfer,
)
from rmeeto.evaluation.ranking import false_positives

FEW = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=12)


@pytest.fixture(params=["continuous", "tied"])
def case(request):
    g = np.random.default_rng(0)
    inside, outside = g.normal(0, 1, 700), g.normal(1.2, 1.5, 500)
    if request.param == "tied":
        inside, outside = np.round(inside, 1), np.round(outside, 1)
    return inside, outside


def pairs_won(inside, outside):
    won = sum((o > i) + 0.5 * (o == i) for i in inside for o in outside)
    return won / len(inside) / len(outside)


def precision_walk(positive, negative):
    """Average precision, larger scores first, by walking down the distinct scores."""
    total = seen = 0.0
    for t in sorted({*positive, *negative}, reverse=True):
        hits = sum(p >= t for p in positive)
        alarms = sum(q >= t for q in negative)
        total += hits / (hits + alarms) * (hits - seen)
        seen = hits
    return total / len(positive)


def loop_fpr_id(inside, outside):
    for t in sorted({*inside, *outside}):
        if sum(i <= t for i in inside) / len(inside) >= 0.95 - 1e-12:
            return sum(o <= t for o in outside) / len(outside)
    raise AssertionError


def loop_fpr_ood(inside, outside):
    for t in sorted({*inside, *outside}, reverse=True):
        if sum(o >= t for o in outside) / len(outside) >= 0.95 - 1e-12:
            return sum(i >= t for i in inside) / len(inside)
    raise AssertionError


def loop_error(inside, outside):
    errors = [0.5]
    for t in {*inside, *outside}:
        rejected = sum(i > t for i in inside) / len(inside)
        accepted = sum(o <= t for o in outside) / len(outside)
        errors.append((rejected + accepted) / 2)
    return min(errors)


@settings(deadline=None, max_examples=200)
@given(FEW, FEW)
@pytest.mark.filterwarnings("ignore::rmeeto.evaluation.EqualScoresWarning")
def test_ties_by_enumeration(inside, outside):
    assert auroc(inside, outside) == pytest.approx(pairs_won(inside, outside))
    assert aupr_out(inside, outside) == pytest.approx(precision_walk(outside, inside))
    negated = [-i for i in inside], [-o for o in outside]
    assert aupr_in(inside, outside) == pytest.approx(precision_walk(*negated))
    assert fpr95_id_positive(inside, outside) == pytest.approx(loop_fpr_id(inside, outside))
    assert fpr95_ood_positive(inside, outside) == pytest.approx(loop_fpr_ood(inside, outside))
    assert detection_error(inside, outside) == pytest.approx(loop_error(inside, outside))


@settings(deadline=None, max_examples=100)
@given(FEW, FEW, st.integers(0, 2**12 - 1))
def test_oscr_by_enumeration(inside, outside, bits):
    right = [bool(bits >> k & 1) for k in range(len(inside))]
    won = sum(
        r * ((o > i) + 0.5 * (o == i)) for i, r in zip(inside, right, strict=True) for o in outside
    )
    value = oscr(inside, right, outside)
    assert value == pytest.approx(won / len(inside) / len(outside))
    assert value <= np.mean(right) + 1e-12


def test_against_scikit_learn(case):
    sk = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle here")
    inside, outside = case
    y, s = np.repeat([0, 1], [len(inside), len(outside)]), np.concatenate(case)
    assert auroc(*case) == pytest.approx(sk.roc_auc_score(y, s), abs=1e-12)
    assert aupr_out(*case) == pytest.approx(sk.average_precision_score(y, s), abs=1e-12)
    assert aupr_in(*case) == pytest.approx(sk.average_precision_score(1 - y, -s), abs=1e-12)
    for labels, scores, ours in (
        (y, s, fpr95_ood_positive(*case)),
        (1 - y, -s, fpr95_id_positive(*case)),
    ):
        fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
        assert ours == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)
        assert detection_error(*case) == pytest.approx(((1 - tpr + fpr) / 2).min(), abs=1e-12)


def test_two_gaussians_have_two_fpr95s():
    """Confidence N(2, 0.5²) on ID and N(0, 1.5²) on OOD images: the same scores, two answers."""
    g, n = np.random.default_rng(0), 60_000
    inside, outside = -g.normal(2, 0.5, n), -g.normal(0, 1.5, n)
    unit, z = NormalDist(), NormalDist().inv_cdf(0.95)
    id_positive = 1 - unit.cdf((2 - 0.5 * z) / 1.5)
    ood_positive = unit.cdf((1.5 * z - 2) / 0.5)
    assert id_positive == pytest.approx(0.218, abs=0.003)  # what an independent program found …
    assert ood_positive == pytest.approx(0.834, abs=0.01)  # … on a few thousand samples
    assert fpr95_id_positive(inside, outside) == pytest.approx(id_positive, abs=0.007)
    assert fpr95_ood_positive(inside, outside) == pytest.approx(ood_positive, abs=0.01)
    assert auroc(inside, outside) == pytest.approx(unit.cdf(2 / math.hypot(0.5, 1.5)), abs=0.004)
    swapped = fpr95_id_positive(-g.normal(2, 1.5, n), -g.normal(0, 0.5, n))
    assert swapped == pytest.approx(0.837, abs=0.02)


def test_the_two_senses_mirror_each_other(case):
    inside, outside = case
    assert fpr95_ood_positive(inside, outside) == fpr95_id_positive(-outside, -inside)
    assert auroc(inside, outside) == pytest.approx(1 - auroc(outside, inside))


def msp(logits):
    p = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return -(p / p.sum(1, keepdims=True)).max(1)


def test_half_precision_logits_cast_up_keep_the_auroc():
    torch = pytest.importorskip("torch")
    g = np.random.default_rng(1)
    logits = g.normal(size=(6000, 10)) * 2
    logits[np.arange(3000), g.integers(0, 10, 3000)] += 12
    full = msp(logits.astype(np.float32))
    for half in (torch.bfloat16, torch.float16):
        cast = torch.from_numpy(logits).to(half).float().numpy()
        up = msp(cast)
        assert auroc(up[:3000], up[3000:]) == pytest.approx(
            auroc(full[:3000], full[3000:]), abs=1e-3
        )
    with pytest.raises(ShapeError, match="before the softmax"):
        auroc(full.astype(np.float16), full)


def test_float32_and_float64_agree(case):
    inside, outside = (x.astype(np.float32) for x in case)
    for metric in (auroc, aupr_in, aupr_out, fpr95_id_positive, fpr95_ood_positive):
        assert metric(inside, outside) == metric(inside.astype(float), outside.astype(float))


def test_large_scores_are_ranked_as_they_are():
    g = np.random.default_rng(2)
    inside, outside = g.normal(size=400), g.normal(size=400) + 1
    as_energies = (30 + inside, 30 + outside)
    assert auroc(*as_energies) == auroc(inside, outside)


def test_the_order_of_images_plays_no_part(case):
    g = np.random.default_rng(3)
    mixed = g.permutation(case[0]), g.permutation(case[1])
    for metric in (auroc, aupr_in, aupr_out, fpr95_id_positive, detection_error):
        assert metric(*mixed) == metric(*case)


def test_oscr_is_auroc_when_all_are_right(case):
    right = np.ones(len(case[0]), bool)
    assert oscr(case[0], right, case[1]) == auroc(*case)
    assert oscr(case[0], ~right, case[1]) == 0


def test_threshold_by_rank():
    scores = np.arange(100.0)[::-1]
    assert threshold_at(scores) == 94
    assert (scores <= threshold_at(scores)).mean() == 0.95
    assert threshold_at(scores, 0.951) == 95
    assert threshold_at([3.0]) == 3
    assert threshold_at([0.0, 0.0, 1.0], 0.5) == 0


@pytest.mark.parametrize("percent", [55, 70, 95, 99])
def test_no_step_too_far_where_a_share_is_not_exact_in_binary(percent):
    for n in range(1, 300):  # 0.55 · 100 is 55.000000000000007
        x, share = np.arange(float(n)), percent / 100
        accepted = (x <= threshold_at(x, share)).sum()
        assert 100 * accepted >= percent * n > 100 * (accepted - 1)
        assert false_positives(np.ones(n), np.ones(n), share) == pytest.approx(accepted / n)


def test_threshold_transfer():
    before = DetectionScores(id=np.arange(20.0), ood=np.arange(10.0) + 15)
    after = DetectionScores(id=np.arange(20.0) + 4, ood=np.arange(10.0) + 12)
    result = threshold_transfer(before, after)
    assert result.threshold == 18
    assert result.id_rejected_before == pytest.approx(1 / 20)
    assert result.id_rejected_after == pytest.approx(5 / 20)
    assert result.ood_accepted_before == pytest.approx(4 / 10)
    assert result.ood_accepted_after == pytest.approx(7 / 10)
    assert result.ood_accepted_before == pytest.approx(fpr95_id_positive(before.id, before.ood))


def test_equal_scores_warn():
    with pytest.warns(EqualScoresWarning, match="all 3 ID and 2 OOD scores are 7; auroc is chance"):
        assert auroc(np.full(3, 7.0), np.full(2, 7.0)) == 0.5
    with pytest.warns(EqualScoresWarning):
        assert aupr_out(np.full(3, 7.0), np.full(2, 7.0)) == pytest.approx(0.4)


@pytest.mark.parametrize("metric", [auroc, aupr_in, aupr_out, fpr95_id_positive, detection_error])
def test_refusals(metric):
    good = np.arange(4.0)
    with pytest.raises(ShapeError, match="2 NaN and 1 infinite of 4"):
        metric(np.array([np.nan, np.nan, np.inf, 0.0]), good)
    with pytest.raises(ShapeError, match="OOD scores: finite"):
        metric(good, np.array([-np.inf]))
    with pytest.raises(ShapeError, match="at least one image in each set"):
        metric(good, [])
    with pytest.raises(ShapeError, match="vector"):
        metric(good[None], good)


def test_other_refusals():
    with pytest.raises(ConfigError, match=r"0\.95"):
        threshold_at([1.0], 1.0)
    with pytest.raises(ShapeError, match="3 booleans"):
        oscr(np.arange(3.0), [True, False], np.arange(3.0))
    with pytest.raises(ShapeError, match="booleans"):
        oscr(np.arange(2.0), [0.5, 1.0], np.arange(3.0))
