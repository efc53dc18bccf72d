"""The audit on tiny models: what it records, that it reads its cache, that it refuses bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rmeeto
from rmeeto.cli.__main__ import main
from rmeeto.errors import ConfigError, ScoreError, StaleStatisticsError, UnknownNameError
from rmeeto.evaluation import auroc, fpr95_id_positive
from rmeeto.reporting import RunRecord
from rmeeto.reporting.schema import record_schema, violations
from rmeeto.scores import SCORES, GradientScore
from rmeeto.workflows import audit_run, list_run, options
from rmeeto.workflows.auditing import inputs, outputs
from rmeeto.workflows.options import TIER_1
from rmeeto.workflows.setup import deployed_fingerprint
from rmeeto.workflows.ui import Silent

QUICK = {"draws": 50, "scores": ("msp", "energy", "mahalanobis", "knn", "temperature_scaled")}


def archive(path: Path, count=30, side=32, classes=("cats", "dogs"), seed=0, grey=False, images=None) -> Path:
    """An .npz of random images."""
    shape = (count, side, side) if grey else (count, side, side, 3)
    if images is None:
        images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    named = {} if classes is None else {"classes": np.array(classes)}
    labels = np.arange(count) % (2 if classes is None else len(classes))
    np.savez(path, images=images, labels=labels, **named)
    return path


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """Folder of a model that was trained for a few steps."""
    from rmeeto.workflows import train_run
    from rmeeto.workflows.options import TrainOptions

    out = tmp_path_factory.mktemp("trained")
    settings = {"model": "vim_test", "data": str(data), "max_steps": 8, "train_batch_size": 16, "out": out}
    train_run.run(rmeeto.workflows.flat_options(TrainOptions, settings))
    return str(out / "model")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """near:…, far:… of 30 images each."""
    folder = tmp_path_factory.mktemp("ood")
    dark = np.random.default_rng(5).integers(0, 40, (30, 32, 32, 3), dtype=np.uint8)
    return (
        f"near:{archive(folder / 'noise.npz')}",
        f"far:{archive(folder / 'dark.npz', images=dark, classes=('night', 'cave'))}",
    )


@pytest.fixture(scope="module")
def pair(model, data, sets, tmp_path_factory):
    """A finished audit of a model and its reduced copy: (folder, record)."""
    out = tmp_path_factory.mktemp("audit") / "run"
    return out, rmeeto.audit(model, r=4, data=str(data), ood=sets, out=out, **QUICK)


def rows(record: RunRecord, **wanted: str) -> list[dict]:
    """Rows of "All measures" as dicts."""
    table = next(t for t in record.tables if t.title == "All measures")
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in found if all(row[k] == v for k, v in wanted.items())]


@pytest.fixture
def passes(monkeypatch):
    """Names of the sources that models are run on from now on."""
    seen = []
    real = outputs.collect

    def counted(model, source, *args, **settings):
        seen.append(source.name)
        return real(model, source, *args, **settings)

    monkeypatch.setattr(outputs, "collect", counted)
    return seen


def test_the_record_keeps_to_its_schema(pair):
    values = json.loads((pair[0] / "record.json").read_text())
    assert not list(violations(values, record_schema()))


def test_the_record_validates_and_the_report_shows_the_sides(pair):
    out, record = pair
    assert RunRecord.load(out / "record.json") == record
    page = (out / "report.html").read_text()
    for text in ("Side by side", "B − A, paired", "far: ", "Without a model", "threshold kept on B"):
        assert text in page
    for stage in ("A", "B", "B − A"):
        for name in ("top1", "nll", "brier", "ece", "adaptive_ece", "aurc", "worst_class"):
            metric = record.metric(name, stage)
            assert metric.low <= metric.high
    change = record.metric("top1", "B").value - record.metric("top1", "A").value
    assert record.metric("top1", "B − A").value == pytest.approx(change)
    assert record.metric("gflops_full", "B").value < record.metric("gflops_full", "A").value


def test_every_set_score_and_measure_has_a_line_with_a_verdict(pair):
    _, record = pair
    measures = {"auroc", "aupr_in", "aupr_out", "fpr95_id_positive", "fpr95_ood_positive", "detection_error", "oscr"}
    for title in ("near average", "far average"):
        assert {(r["score"], r["measure"]) for r in rows(record, set=title)} == {
            (score, measure) for score in QUICK["scores"] for measure in measures
        }
    verdicts = {r["verdict"] for r in rows(record)}
    assert verdicts <= {"better", "same within interval", "worse"}
    for row in rows(record):
        inside = row["low"] <= 0 <= row["high"]
        assert (row["verdict"] == "same within interval") == inside
        if not inside:
            assert (row["verdict"] == "better") == ((row["B − A"] > 0) == (row["better"] == "higher"))


def test_numbers_are_those_of_the_kept_outputs(pair, model, data, sets):
    """AUROC, FPR95 and threshold transfer of one score, computed here from the cache by hand."""
    out, record = pair
    kept = {}
    for file in (out / "stages").glob("outputs_*.npz"):
        with np.load(file) as arrays:
            kept[str(arrays["fingerprint"]), len(arrays["ids"]), file.name] = arrays["logits"].astype(float)
    plain = rmeeto.load_model(model)
    own = deployed_fingerprint(plain, rmeeto.Preprocessing(**plain.config.preprocessing))
    energy = {key: -np.log(np.exp(v).sum(1)) for key, v in kept.items()}
    inside = next(v for (who, n, _), v in energy.items() if who == own and n == 48)
    outside = [v for (who, n, _), v in energy.items() if who == own and n == 30]
    for name, metric in (("auroc", auroc), ("fpr95_id_positive", fpr95_id_positive)):
        lines = rows(record, score="energy", measure=name)
        found = [r["A"] for r in lines if r["set"].endswith(" average")]
        assert sorted(found) == pytest.approx(sorted(100 * metric(inside, o) for o in outside), abs=1e-3)
    other = next(v for (who, n, _), v in energy.items() if who != own and n == 48)
    level = np.sort(inside)[int(np.ceil(0.95 * 48)) - 1]
    (row,) = rows(record, measure="id_rejected", score="energy")
    assert row["A"] == pytest.approx(100 * (inside > level).mean())
    assert row["B"] == pytest.approx(100 * (other > level).mean())
    outside = [v for (who, n, _), v in energy.items() if who != own and n == 30]
    found = [r["B"] for r in rows(record, measure="ood_accepted", score="energy")]
    assert sorted(found) == pytest.approx(sorted(100 * (o <= level).mean() for o in outside))


def test_averages_are_means_over_the_sets_of_a_kind(model, data, sets, tmp_path):
    both = tuple("near:" + entry.partition(":")[2] for entry in sets)
    record = rmeeto.audit(model, r=4, data=str(data), ood=both, out=tmp_path, **QUICK)
    for measure in ("auroc", "fpr95_id_positive"):
        lines = rows(record, measure=measure, score="energy")
        mean, parts = lines[-1], lines[:-1]
        assert [r["set"][:5] for r in lines] == ["near:", "near:", "near "]
        for column in ("A", "B", "B − A"):
            assert mean[column] == pytest.approx(np.mean([r[column] for r in parts]))
        short = {"auroc": "near_auroc@energy", "fpr95_id_positive": "near_fpr95@energy"}[measure]
        assert record.metric(short, "B").value == pytest.approx(mean["B"])
        assert mean["low"] <= mean["B − A"] <= mean["high"]


def test_another_choice_of_scores_reads_the_cache(pair, model, data, sets, passes):
    out, record = pair
    again = rmeeto.audit(model, r=4, data=str(data), ood=sets[::-1], out=out, draws=20, scores=("gen", "vim"))
    assert passes == []
    assert again.metric("top1", "A").value == record.metric("top1", "A").value
    assert {r["score"] for r in rows(again, set="far average")} == {"gen", "vim"}


def test_each_set_is_run_once_a_model_and_a_new_set_alone(model, data, sets, tmp_path, passes):
    rmeeto.audit(model, data=str(data), ood=sets[:1], out=tmp_path, scores=("msp", "knn", "mahalanobis"), draws=5)
    assert len(passes) == 3  # test, the OOD set, train
    rmeeto.audit(model, data=str(data), ood=sets, out=tmp_path, scores=("msp",), draws=5)
    assert len(passes) == 4


def test_calibrations_are_fitted_on_validation_images(model, data, tmp_path, passes):
    rmeeto.audit(model, data=str(data), out=tmp_path, scores=("temperature_scaled",), draws=5)
    assert [Path(name).name for name in passes] == ["test", "val"]


def test_an_interrupted_audit_goes_on(pair, model, data, sets, passes):
    out, record = pair
    next((out / "stages").glob("outputs_*.npz")).unlink()
    again = rmeeto.audit(model, r=4, data=str(data), ood=sets, out=out, **QUICK)
    assert len(passes) == 1
    assert again.metrics == record.metrics
    with pytest.raises(ConfigError, match="no-resume"):
        rmeeto.audit(model, r=5, data=str(data), ood=sets, out=out, **QUICK)


def test_identical_models_differ_by_nothing(model, data, sets, tmp_path):
    record = rmeeto.audit(model, model, data=str(data), ood=sets, out=tmp_path, **QUICK)
    for row in rows(record):
        assert (row["B − A"], row["low"], row["high"], row["verdict"]) == (0, 0, 0, "same within interval"), row
    assert any("same model" in w for w in record.warnings)
    flips = next(t for t in record.tables if t.title.startswith("Changed"))
    assert {row[1] for row in flips.rows} == {0}


def test_one_model_has_no_changes(model, data, sets, tmp_path):
    record = rmeeto.audit(model, data=str(data), ood=sets[1:], out=tmp_path, **QUICK)
    assert {m.group for m in record.metrics} == {"A"}
    assert all(row["verdict"] == "" for row in rows(record))
    assert RunRecord.load(tmp_path / "record.json") == record
    alone = rmeeto.audit(model, data=str(data), out=tmp_path, **QUICK)
    assert any("no OOD set" in w for w in alone.warnings)


def test_too_few_errors_to_rank_are_stated(pair):
    _, record = pair
    ranked = any(m.name.startswith("error_auroc@") for m in record.metrics)
    assert ranked != any("too few" in w for w in record.warnings)


def test_a_saved_model_keeps_its_own_reduction(model, data, sets, tmp_path):
    reduced = rmeeto.load_model(model)
    rmeeto.save_model(rmeeto.reduce_(reduced, rmeeto.RMeeTo(r=4)), tmp_path / "reduced")
    record = rmeeto.audit(model, str(tmp_path / "reduced"), data=str(data), ood=sets, out=tmp_path / "run", **QUICK)
    assert record.metric("tokens_last", "B").value < record.metric("tokens_last", "A").value


def test_statistics_of_another_reduction_are_refused(model, data, pair):
    """Fitted on the plain model's outputs, asked to score the reduced model's."""
    plain = rmeeto.load_model(model)
    preprocessing = rmeeto.Preprocessing(**plain.config.preprocessing)
    before = deployed_fingerprint(plain, preprocessing)
    after = deployed_fingerprint(rmeeto.reduce_(plain, rmeeto.RMeeTo(r=4)), preprocessing)
    assert len({before, after, deployed_fingerprint(plain, rmeeto.Preprocessing(32, crop_pct=0.9))}) == 3
    g = np.random.default_rng(0)
    kept = [_kept(g, name) for name in (before, after)]
    score = SCORES.get("mahalanobis")()
    assert len(outputs.apply_score(score, kept[0], kept[:1])[0]) == 40
    with pytest.raises(StaleStatisticsError, match="fit the score again"):
        outputs.apply_score(score, kept[0], kept)


def _kept(g, fingerprint):
    import torch

    from rmeeto.scores import Head, Outputs

    features, weight = torch.from_numpy(g.normal(size=(40, 4))).float(), torch.eye(3, 4)
    found = Outputs(features @ weight.T, features, torch.arange(40) % 3)
    return outputs.Kept(found, Head(weight, torch.zeros(3)), fingerprint, np.arange(40))


def test_a_kept_file_of_another_model_is_refused(model, data, tmp_path):
    rmeeto.audit(model, data=str(data), out=tmp_path, scores=("msp",), draws=5)
    (file,) = (tmp_path / "stages").glob("outputs_*.npz")
    with np.load(file) as found:
        arrays = dict(found) | {"fingerprint": np.array("0" * 16)}
    np.savez(file, **arrays)
    with pytest.raises(StaleStatisticsError, match="no-resume"):
        rmeeto.audit(model, data=str(data), out=tmp_path, scores=("msp",), draws=5)


def test_gradient_scores_come_on_request_and_share_a_pass(model, data, sets, tmp_path, passes):
    lines = []
    watcher = Silent()
    watcher.note = lines.append
    given = {"models": (model,), "data": str(data), "ood": sets[:1], "scores": ("msp",), "gradient": True,
             "draws": 5, "out": tmp_path}  # fmt: skip
    record = audit_run.run(rmeeto.workflows.flat_options(options.AuditOptions, given), watcher)
    assert {r["score"] for r in rows(record, set="near average")} == {"msp", "odin", "adascale_a", "adascale_l"}
    # plain: test, OOD (train is not needed by msp); odin: 2; both adascale together: test, OOD, train
    assert len(passes) == 2 + 2 + 3
    skipped = list((tmp_path / "stages").glob("outputs_*_skipped.json"))
    assert len(skipped) == len(passes)  # none is made up for a pass that was not
    assert lines[1].startswith("gradient scores (adascale_a, adascale_l, odin) add up to")


def test_scores_of_several_layers_take_a_pass_of_their_own(model, data, sets, tmp_path, passes):
    given = {"data": str(data), "ood": sets[:1], "r": 4, "draws": 5, "out": tmp_path}
    record = rmeeto.audit(model, scores=("msp", "mahalanobis_layers"), **given)
    # of each model: test and OOD plainly; test, OOD and train with the layers
    assert len(passes) == 2 * (2 + 3)
    assert {r["score"] for r in rows(record, set="near average")} == {"msp", "mahalanobis_layers"}
    rmeeto.audit(model, scores=("mahalanobis_layers", "energy"), **given)
    assert len(passes) == 10
    with np.load(next(tmp_path.glob("stages/*_layers.npz"))) as kept:
        assert {"layer0", "layer1", "features"} <= set(kept)


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"ood": ("{set}",)}, ConfigError, "near:|far:"),
    ({"ood": ("close:{set}",)}, ConfigError, "near:"),
    ({"ood": ("near:",)}, ConfigError, "near:"),
    ({"ood": ("near:{set}", "near:{set}")}, ConfigError, "twice"),
    ({"ood": ("near:{set}", "far:{set}")}, ConfigError, "twice"),
    ({"draws": 0}, ConfigError, "one draw"),
    ({"limit": 0}, ConfigError, "1 to 48 images"),
    ({"scores": ("mps",)}, UnknownNameError, "msp"),
    ({"scores": ("odin",)}, ConfigError, "--gradient"),
    ({"models": ("demo", "demo", "demo")}, ConfigError, "two at a time"),
    ({"models": ("{model}", "{model}"), "r": 3}, ConfigError, "reduction"),
    ({"models": ("demo",)}, ConfigError, "3 ID classes"),
])  # fmt: skip
def test_bad_input_is_refused(given, error, words, model, data, sets, tmp_path):
    path = sets[0].removeprefix("near:")
    fill = lambda x: x.format(set=path, model=model) if isinstance(x, str) else x  # noqa: E731
    given = {k: tuple(map(fill, v)) if isinstance(v, tuple) else v for k, v in given.items()}
    names = given.pop("models", (model,))
    with pytest.raises(error, match=words):
        rmeeto.audit(*names, **{"data": str(data), "out": tmp_path / "run", **given})
    assert not (tmp_path / "run").exists()


def test_an_ood_set_of_id_classes_is_refused_and_a_shared_one_named(model, data, tmp_path):
    same = archive(tmp_path / "same.npz", classes=("H", "v"))
    some = archive(tmp_path / "some.npz", classes=("None", "cats"))
    with pytest.raises(rmeeto.RmeetoError, match="every class"):
        rmeeto.audit(model, data=str(data), ood=(f"near:{same}",), out=tmp_path / "a", **QUICK)
    with pytest.raises(rmeeto.RmeetoError, match="every class"):
        rmeeto.audit(model, data=str(data), ood=(f"near:{data}",), out=tmp_path / "a", **QUICK)
    record = rmeeto.audit(model, data=str(data), ood=(f"near:{some}",), out=tmp_path / "b", **QUICK)
    assert any("1 classes" in w and "None" in w for w in record.warnings)


def test_numbered_classes_are_no_names(tmp_path):
    """Neither set names its classes: 0 and 1 in both says nothing, and that is said."""
    inside = archive(tmp_path / "inside.npz", count=80, classes=None, seed=1)
    other = archive(tmp_path / "other.npz", classes=None)
    record = rmeeto.audit("vim_test", data=str(inside), ood=(f"far:{other}",), out=tmp_path / "a", **QUICK)
    assert any("without names" in w for w in record.warnings)
    assert not any("bear the name" in w for w in record.warnings)


def test_another_size_and_colour_and_no_names_are_stated(model, data, tmp_path):
    small = archive(tmp_path / "small.npz", side=20, grey=True, classes=None)
    record = rmeeto.audit(model, data=str(data), ood=(f"far:{small}",), out=tmp_path / "a", **QUICK)
    text = " ".join(record.warnings)
    assert "20×20 grey become 32×32 colour" in text
    assert "without names" in text


def test_an_empty_folder_and_one_class_are_refused(model, data, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(rmeeto.RmeetoError, match="nothing"):
        rmeeto.audit(model, data=str(data), ood=(f"far:{tmp_path / 'nothing'}",), out=tmp_path / "a")
    single = archive(tmp_path / "single.npz", count=60, classes=("h",))
    with pytest.raises(rmeeto.RmeetoError, match="two classes"):
        rmeeto.audit(model, data=str(single), out=tmp_path / "a")


def test_equal_scores_are_stated(data, tmp_path, sets):
    """A head of zeros gives every image the same logits."""
    import torch

    model = rmeeto.create_model("vim_test", num_classes=3)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    rmeeto.save_model(model, tmp_path / "dull")
    record = rmeeto.audit(str(tmp_path / "dull"), data=str(data), ood=sets[:1], scores=("msp", "knn"),
                          draws=20, out=tmp_path / "a")  # fmt: skip
    assert any("msp is the same for all images" in w and "chance" in w for w in record.warnings)
    (row,) = rows(record, set="near average", score="msp", measure="auroc")
    assert row["A"] == 50


def test_a_score_that_cannot_be_fitted_is_left_out_and_named(model, data, sets, tmp_path):
    import torch

    broken = rmeeto.load_model(model)
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    rmeeto.save_model(broken, tmp_path / "broken")
    with pytest.raises(ScoreError):
        rmeeto.audit(str(tmp_path / "broken"), data=str(data), ood=sets[:1], out=tmp_path / "a", **QUICK)


def test_a_model_name_is_audited_with_a_warning(data, sets, tmp_path):
    record = rmeeto.audit("vim_test", "vit_test", data=str(data), ood=sets[:1], out=tmp_path, scores=("msp",), draws=5)
    assert sum("random weights" in w for w in record.warnings) == 2


def test_the_command_line_prints_the_record_and_three_lines(model, data, sets, tmp_path, capsys):
    args = ["audit", model, "--data", str(data), "--ood", *sets, "--r", "4", "--scores", "msp", "--draws", "10"]
    assert main([*args, "--json", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads((tmp_path / "record.json").read_text())
    assert main([*args, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "same within interval" in text or "worse" in text or "better" in text
    assert "All measures: " in text
    assert main([*args[:-4], "--scores", "mps", "--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["asked", "given", "why"]


def test_a_folder_of_images_is_an_ood_set(model, data, tmp_path):
    for name in ("oak", "elm"):
        (tmp_path / "trees" / name).mkdir(parents=True)
        for i in range(6):
            image = np.random.default_rng(i).integers(0, 256, (40, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "trees" / name / f"{i}.png")
    far = (f"far:{tmp_path / 'trees'}",)
    record = rmeeto.audit(model, ood=far, limit=10, out=tmp_path / "a", **QUICK, data=str(data))
    assert any(t.title == "far: trees (10 images)" for t in record.tables)
    given = rmeeto.workflows.flat_options(options.AuditOptions, {"ood": far, "limit": 10, "data": str(data)})
    (trees,) = inputs.open_images(given).outliers
    assert np.bincount(trees.source.labels).tolist() == [5, 5]
    (tmp_path / "trees" / "elm" / "7.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(rmeeto.RmeetoError, match="corrupt"):
        rmeeto.audit(model, ood=far, out=tmp_path / "b", **QUICK, data=str(data))


def test_a_corrupt_image_is_named_and_not_fatal(model, data, tmp_path):
    (tmp_path / "trees" / "oak").mkdir(parents=True)
    for i in range(110):
        image = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "trees" / "oak" / f"{i:03}.png")
    (tmp_path / "trees" / "oak" / "000.png").write_bytes(b"\x89PNG broken")
    far = (f"far:{tmp_path / 'trees'}",)
    record = rmeeto.audit(model, r=2, ood=far, out=tmp_path / "a", **QUICK, data=str(data))
    assert {k: v["count"] for k, v in record.skipped.items()} == {"A, trees": 1, "B, trees": 1}
    assert "000.png" in record.skipped["A, trees"]["names"][0]


def test_the_default_scores_exist_and_need_no_gradient():
    assert all(not issubclass(SCORES.get(name), GradientScore) for name in TIER_1)
    record = list_run.run(options.ListOptions())
    listed = next(t for t in record.tables if t.title == "Scores")
    assert [row[0] for row in listed.rows] == SCORES.names()
    assert all(row[1] for row in listed.rows)
