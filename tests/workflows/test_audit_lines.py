"""Lines of an audit from made-up outputs: A is good, B is A with noise, so every change is a loss."""

import numpy as np
import pytest
import torch

import rmeeto
from rmeeto.data import ArraySource
from rmeeto.evaluation import adaptive_ece, aurc, auroc, brier, correct, ece, nll, threshold_at
from rmeeto.scores import Head, Outputs
from rmeeto.workflows.auditing import lines, outputs, tables
from rmeeto.workflows.auditing.inputs import Candidate, OutlierSet

N, M, K = 400, 300, 4
LABELS = np.arange(N) % K


def logits(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """ID logits with a clear class, OOD logits without one."""
    g = np.random.default_rng(seed)
    inside = 4 * np.eye(K)[LABELS] + g.normal(0, 1.0 + noise, (N, K))
    return inside.astype(np.float32), g.normal(0, 1.0 + noise, (M, K)).astype(np.float32)


def scored(letter: str, noise: float) -> outputs.Scored:
    """A model whose scores are −max logit, of one ID and two OOD sets."""
    inside, outside = logits(0, noise)
    kept = outputs.Kept(
        Outputs(torch.from_numpy(inside), None, torch.from_numpy(LABELS)),
        Head(torch.eye(K), torch.zeros(K)), letter, np.arange(N),
    )  # fmt: skip
    model = rmeeto.create_model("vim_test")
    candidate = Candidate(letter, letter, model, rmeeto.Preprocessing(32), letter)
    half = outside[: M // 2] + 1
    return outputs.Scored(candidate, kept, {"max_logit": [-inside.max(1), -outside.max(1), -half.max(1)]})


def outlier(kind: str, count: int) -> OutlierSet:
    blank = np.zeros((count, 4, 4), np.uint8)
    return OutlierSet(kind, ArraySource(blank, np.zeros(count, int), ["x"]), f"{kind}{count}")


PAIR = [scored("A", 0.5), scored("B", 3.0)]
SETS = [outlier("near", M), outlier("far", M // 2)]


def test_id_lines_are_the_metrics_and_every_change_is_worse():
    found = {line.measure: line for line in lines.id_lines(PAIR, 0, 200)}
    for k, model in enumerate(PAIR):
        f, right = model.inside.logits, correct(model.inside.logits, LABELS)
        p = torch.softmax(torch.from_numpy(f).double(), 1).amax(1).numpy()
        expected = {
            "top1": 100 * right.mean(), "nll": nll(f, LABELS), "brier": brier(f, LABELS),
            "ece": 100 * ece(f, LABELS), "adaptive_ece": 100 * adaptive_ece(f, LABELS),
            "aurc": 100 * aurc(-p, right),
            "worst_class": 100 * min(right[c == LABELS].mean() for c in range(K)),
        }  # fmt: skip
        assert set(found) == set(expected)
        for name, value in expected.items():
            line = found[name]
            assert line.b is not None
            assert (line.a, line.b)[k].value == pytest.approx(value), name
    for name, line in found.items():
        assert line.change.value == pytest.approx(line.b.value - line.a.value)
        assert line.verdict == "worse", name
        back = {x.measure: x for x in lines.id_lines(PAIR[::-1], 0, 200)}[name]
        assert back.verdict == "better"


def test_detection_lines_are_paired_losses_in_every_measure():
    found = lines.detection_lines(PAIR, SETS, 0, 200)
    assert [x.part for x in found] == sorted((x.part for x in found), key=[x.part for x in found].index)
    for line in found:
        assert line.change.value == pytest.approx(line.b.value - line.a.value)
        assert line.verdict == "worse", line
    first = next(x for x in found if x.measure == "auroc")
    ours = PAIR[0].scores["max_logit"]
    assert first.a.value == pytest.approx(100 * auroc(ours[0], ours[1]))
    means = {x.part for x in found if x.part.endswith("average")}
    assert means == {"near average", "far average"}


def test_two_sets_of_one_kind_are_resampled_apart():
    twice = [scored_twice(model) for model in PAIR]
    found = lines.detection_lines(twice, [SETS[0], SETS[0]], 0, 200)
    auroc_lines = [x for x in found if x.measure == "auroc"]
    alone, mean = auroc_lines[0], auroc_lines[-1]
    assert mean.a.value == pytest.approx(alone.a.value)
    assert mean.a.width < alone.a.width  # the OOD half of the spread is averaged


def scored_twice(model: outputs.Scored) -> outputs.Scored:
    inside, outside, _ = model.scores["max_logit"]
    return outputs.Scored(model.candidate, model.inside, {"max_logit": [inside, outside, outside]})


def test_the_threshold_is_a_s_and_the_change_b_minus_a():
    found = {x.part: x for x in lines.transfer_lines(*PAIR, SETS, 0, 200)}
    (ours, theirs) = (m.scores["max_logit"] for m in PAIR)
    level = threshold_at(ours[0])
    line = found["ID"]
    assert line.a.value == pytest.approx(100 * (ours[0] > level).mean()) == 5.0
    assert line.change.value == pytest.approx(100 * ((theirs[0] > level).mean() - (ours[0] > level).mean()))
    near = found["near: near300"]
    assert near.b.value == pytest.approx(100 * (theirs[1] <= level).mean())
    assert near.change.value == pytest.approx(near.b.value - near.a.value)
    assert near.verdict == "worse"


def test_images_at_the_threshold_are_accepted():
    same = outputs.Scored(PAIR[0].candidate, PAIR[0].inside, {"s": [np.zeros(N), np.zeros(M), np.zeros(M)]})
    found = {x.part: x.a.value for x in lines.transfer_lines(same, same, SETS, 0, 10)}
    assert (found["ID"], found["near: near300"]) == (0, 100)


def test_errors_are_ranked_only_where_there_are_some():
    (line,) = lines.error_lines(PAIR, 0, 200)
    right = correct(PAIR[1].inside.logits, LABELS)
    ours = PAIR[1].scores["max_logit"][0]
    assert line.b.value == pytest.approx(100 * auroc(ours[right], ours[~right]))
    perfect = outputs.Kept(
        Outputs(torch.eye(K)[LABELS], None, torch.from_numpy(LABELS)), PAIR[0].inside.head, "A", np.arange(N)
    )
    sure = outputs.Scored(PAIR[0].candidate, perfect, PAIR[0].scores)
    assert lines.error_lines([sure], 0, 10) == []


def test_a_set_that_brightness_tells_apart_is_named():
    values = [{"brightness": np.linspace(0.5, 1, N)}, {"brightness": np.linspace(0, 0.4, M)},
              {"brightness": np.linspace(0.5, 1, M // 2)}]  # fmt: skip
    table, notes = tables.low_level_table(values, SETS, 0, 50)
    assert [row[3] for row in table.rows] == pytest.approx([100, 50], abs=1)
    assert len(notes) == 1
    assert "near: near300: brightness" in notes[0]


def test_odin_is_told_how_images_are_normalised():
    candidate = PAIR[0].candidate
    assert outputs.configured("odin", candidate).std == candidate.preprocessing.std
