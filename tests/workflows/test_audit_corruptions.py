"""`audit --corruptions`, `--perspective` and `--masks`: what is measured, kept, shown and refused."""

import numpy as np
import pytest
from PIL import Image

import rmeeto
from rmeeto.data import BACKGROUNDS, BackgroundEdited, Corrupted, Subset, open_source, take
from rmeeto.errors import (
    ConfigError,
    DataError,
    RmeetoError,
    ShapeError,
    StaleStatisticsError,
    UnknownNameError,
)
from rmeeto.evaluation import CorruptionErrors, predict
from rmeeto.reporting import RunRecord
from rmeeto.workflows import audit_run, options
from rmeeto.workflows.auditing import corruptions, outputs
from rmeeto.workflows.auditing.corruptions import open_corruptions
from rmeeto.workflows.options import CorruptionOptions
from rmeeto.workflows.setup import part_splits
from rmeeto.workflows.ui import Silent

QUICK = {"draws": 50, "scores": ("msp",), "corruption_images": 12, "severities": (5, 1)}


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """Folder of a model that was trained for a few steps."""
    from rmeeto.workflows import train_run

    out = tmp_path_factory.mktemp("trained")
    settings = {"model": "vim_test", "data": str(data), "max_steps": 8, "train_batch_size": 16, "out": out}
    train_run.run(rmeeto.workflows.flat_options(options.TrainOptions, settings))
    return str(out / "model")


@pytest.fixture(scope="module")
def pair(model, data, tmp_path_factory):
    """(folder, record, notes) of an audit of a model and its reduced copy under two families."""
    out = tmp_path_factory.mktemp("corrupted") / "run"
    watcher, notes = Silent(), []
    watcher.note = notes.append
    given = {"models": (model,), "r": 4, "data": str(data), "out": out, "perspective": True,
             "corruptions": ("contrast", "gaussian_noise", "contrast"), **QUICK}  # fmt: skip
    return out, audit_run.run(rmeeto.workflows.flat_options(options.AuditOptions, given), watcher), notes


@pytest.fixture
def passes(monkeypatch):
    """Names of the sources that models are run on for answers from now on."""
    seen = []
    real = outputs.predict

    def counted(model, source, *args, **settings):
        seen.append(source.name)
        return real(model, source, *args, **settings)

    monkeypatch.setattr(outputs, "predict", counted)
    return seen


def row(record: RunRecord, part: str, measure: str = "error") -> dict:
    table = next(t for t in record.tables if t.title == "All measures")
    rows = [dict(zip(table.columns, r, strict=True)) for r in table.rows]
    (found,) = [r for r in rows if (r["set"], r["measure"]) == (part, measure)]
    return found


def test_errors_are_those_of_passes_made_by_hand(pair, model, data):
    _, record, _ = pair
    plain = rmeeto.load_model(model)
    images = take(open_source(str(data), "test"), 12, 0)
    preprocessing = rmeeto.Preprocessing(**plain.config.preprocessing)
    means = []
    for name in ("contrast", "gaussian_noise"):
        wrong = [~predict(plain, Corrupted(images, name, s, 0), preprocessing).correct() for s in (1, 5)]
        means.append(100 * np.mean(wrong))
        assert row(record, f"corrupted: {name}")["A"] == pytest.approx(means[-1])
    clean = 100 * (~predict(plain, images, preprocessing).correct()).mean()
    assert row(record, "clean")["A"] == pytest.approx(clean)
    assert record.metric("corruptions_error", "A").value == pytest.approx(np.mean(means))
    assert record.metric("corruptions_mce", "A").value == pytest.approx(100)


def test_both_families_have_metrics_tables_curves_and_verdicts(pair):
    out, record, _ = pair
    assert RunRecord.load(out / "record.json") == record
    page = (out / "report.html").read_text()
    for family in ("corruptions", "perspective"):
        for measure in ("error", "mce"):
            a, b, change = (record.metric(f"{family}_{measure}", g).value for g in ("A", "B", "B − A"))
            assert change == pytest.approx(b - a)
            line = row(record, f"{family} average", measure)
            assert line["low"] <= line["B − A"] <= line["high"]
            assert line["verdict"] in ("better", "same within interval", "worse")
        (table,) = [t for t in record.tables if t.title.startswith(f"Errors under {family} (12 images")]
        assert [r[0] for r in table.rows][-1] == "relative to A (mCE)"
        (a, b) = [s for s in record.series if s.group == f"Error against severity, {family}"]
        assert ([a.name, b.name], [p.x for p in a.points]) == (["A", "B"], [0, 1, 5])
        assert f"Error against severity, {family}" in page
    assert sum(r[0].startswith("corrupted: perspective") for t in record.tables for r in t.rows
               if t.title.startswith("Errors under perspective")) == 8  # fmt: skip


def test_the_cost_is_told_before_any_pass(model, data, tmp_path, passes):
    watcher, order = Silent(), []
    watcher.note = lambda text: order.append((text, len(passes)))
    given = {"models": (model,), "data": str(data), "out": tmp_path, "corruptions": ("contrast",), **QUICK}
    audit_run.run(rmeeto.workflows.flat_options(options.AuditOptions, given), watcher)
    ((text, before),) = [(t, n) for t, n in order if t.startswith("corruptions add about")]
    assert "(3 passes over 12 images)" in text
    assert before == 0
    assert len(passes) == 3


def test_kept_passes_are_read_and_a_new_corruption_runs_alone(pair, model, data, passes):
    out, record, _ = pair
    given = {**QUICK, "data": str(data), "out": out, "r": 4}
    again = rmeeto.audit(model, **given, corruptions=("gaussian_noise", "contrast"), perspective=True)
    assert passes == []
    assert again.metric("perspective_error", "B") == record.metric("perspective_error", "B")
    rmeeto.audit(model, **given, corruptions=("contrast", "fog"))
    assert len(passes) == 4  # two severities, two models
    assert all("(fog " in name for name in passes)
    without = rmeeto.audit(model, data=str(data), out=out, r=4, draws=50, scores=("msp",))
    assert not any(m.name.startswith("corruptions") for m in without.metrics)


def test_kept_answers_of_another_model_are_refused(model, data, tmp_path):
    given = {**QUICK, "data": str(data), "out": tmp_path, "corruptions": ("contrast",)}
    rmeeto.audit(model, **given)
    file = next((tmp_path / "stages").glob("wrong_*.npz"))
    with np.load(file) as found:
        arrays = dict(found) | {"fingerprint": np.array("0" * 16)}
    np.savez(file, **arrays)
    with pytest.raises(StaleStatisticsError, match="no-resume"):
        rmeeto.audit(model, **given)


def test_a_corruption_that_costs_a_nothing_has_no_ratio_and_is_named():
    right, half = np.zeros((1, 8), bool), np.tile([True, False], (1, 4))
    a = CorruptionErrors(right[0], {"fog": right, "snow": half})
    b = CorruptionErrors(right[0], {"fog": half, "snow": half})
    names = {"corruptions": ["fog", "snow"]}
    lines, notes = corruptions.corruption_lines([a, b], names, 0, 20)
    assert [x.measure for x in lines["corruptions"]] == ["error"] * 4
    assert lines["corruptions"][-1].change.value == pytest.approx(25)
    assert len(notes) == 1
    assert "fog costs A nothing" in notes[0]
    assert corruptions.corruption_lines([b, a], names, 0, 20)[1] == []


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"corruptions": ("fogg",)}, UnknownNameError, "fog"),
    ({"corruptions": ("comon",)}, UnknownNameError, "common"),
    ({"corruptions": (), "severities": (0, 1)}, ConfigError, "from 1 to 5"),
    ({"corruptions": (), "severities": ()}, ConfigError, "none"),
    ({"perspective": True, "corruption_images": 0}, ConfigError, "1 or more"),
    ({"severities": (1,)}, ConfigError, "--corruptions"),
    ({"corruption_images": 5}, ConfigError, "--corruptions"),
])  # fmt: skip
def test_bad_settings_are_refused_before_any_work(given, error, words, model, data, tmp_path):
    with pytest.raises(error, match=words):
        rmeeto.audit(model, data=str(data), out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_words_stand_for_families_and_grey_images_keep_their_colours():
    grey = open_source("demo", "test")
    assert open_corruptions(CorruptionOptions(), grey, 0) is None
    wanted = {(): 15, ("common",): 15, ("extra",): 3, ("all",): 18, ("all", "fog"): 18}
    for given, count in wanted.items():
        found = open_corruptions(CorruptionOptions(given, severities=(1,), corruption_images=2), grey, 0)
        assert len(found.cells) == count, given
    named = CorruptionOptions(("fog", "perspective_top"), severities=(1,))
    assert open_corruptions(named, grey, 0).names == {"corruptions": ["fog"], "perspective": ["perspective_top"]}
    with pytest.raises(ShapeError, match="leave it out"):
        open_corruptions(CorruptionOptions(("saturate",), severities=(1,)), grey, 0)


def test_rebuild_hands_the_flags_to_its_audit(data, tmp_path):
    tiny = {"model": "vim_test", "r": 2, "max_steps": 1, "train_batch_size": 8, "curve_images": 0, "pictures": 0,
            "speed_seconds": 0.2, "batches": (1,), "data": str(data), "limit": 12}  # fmt: skip
    corrupted = {"corruptions": ("contrast",), "severities": (3,), "corruption_images": 6}
    with pytest.raises(RmeetoError, match="--audit"):
        rmeeto.rebuild(**tiny, **corrupted, out=tmp_path / "no")
    with pytest.raises(UnknownNameError, match="contrast"):
        rmeeto.rebuild(**tiny, **{**corrupted, "corruptions": ("contrasts",)}, audit=True, out=tmp_path / "no")
    assert not (tmp_path / "no").exists()
    record = rmeeto.rebuild(**tiny, **corrupted, audit=True, out=tmp_path / "run")
    assert any(t.title.startswith("Errors under corruptions (6 images") for t in record.tables)
    assert any(s.group == "Error against severity, corruptions" for s in record.series)
    more = rmeeto.rebuild(**tiny, audit=True, out=tmp_path / "run", **{**corrupted, "corruptions": ("fog",)})
    assert any(r[0] == "corrupted: fog" for t in more.tables for r in t.rows)


def bands(count: int, side: int = 32) -> np.ndarray:
    """Masks of one white band each, whose height tells the image."""
    masks = np.zeros((count, side, side), np.uint8)
    for k in range(count):
        masks[k, : 1 + k % (side - 2)] = 255
    return masks


def saved(masks: np.ndarray, folder) -> str:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "test.npz", images=masks, labels=np.zeros(len(masks), int))
    return str(folder)


def test_masks_add_a_family_with_lines_table_and_curve(model, data, tmp_path, passes):
    given = {**QUICK, "data": str(data), "limit": 30, "r": 4, "out": tmp_path / "run"}
    masks = saved(bands(48), tmp_path / "masks")
    record = rmeeto.audit(model, **given, masks=masks)
    assert len(passes) == 2 * (1 + 2 * 4)  # both models: the images, four edits at two severities
    plain, test = rmeeto.load_model(model), open_source(str(data), "test")
    images = take(take(test, 30, 0), 12, 0)
    parts, preprocessing = Subset(open_source(masks, "test"), images.indices), rmeeto.Preprocessing(
        **plain.config.preprocessing)  # fmt: skip
    means = []
    for name in BACKGROUNDS:
        sets = [BackgroundEdited(images, parts, name, s, 0) for s in (1, 5)]
        means.append(100 * np.mean([~predict(plain, s, preprocessing).correct() for s in sets]))
        assert row(record, f"corrupted: {name}")["A"] == pytest.approx(means[-1])
    assert record.metric("backgrounds_error", "A").value == pytest.approx(np.mean(means))
    assert record.metric("backgrounds_mce", "A").value == pytest.approx(100)
    assert record.metric("backgrounds_error", "B − A").low is not None
    (table,) = [t for t in record.tables if t.title.startswith("Errors under backgrounds (12 images")]
    named = [f"corrupted: {name}" for name in BACKGROUNDS]
    assert [r[0] for r in table.rows] == ["clean", *named, "backgrounds average", "relative to A (mCE)"]
    (a, b) = [s for s in record.series if s.group == "Error against severity, backgrounds"]
    assert ([a.name, b.name], [p.x for p in b.points]) == (["A", "B"], [0, 1, 5])
    again = rmeeto.audit(model, **given, masks=masks)
    assert (again.fingerprint, len(passes)) == (record.fingerprint, 18)
    other = rmeeto.audit(model, **given, masks=saved(255 - bands(48), tmp_path / "masks"))
    assert len(passes) == 18 + 2 * 8  # other masks, other images
    assert other.fingerprint != record.fingerprint


def test_masks_are_those_of_the_images_that_were_taken(data, tmp_path):
    test = open_source(str(data), "test")
    masks = saved(bands(48), tmp_path / "masks")
    wanted = CorruptionOptions(("fog",), masks=masks, severities=(5,), corruption_images=7)
    found = open_corruptions(wanted, take(test, 20, 3), 3)
    assert found.names == {"corruptions": ["fog"], "backgrounds": [*BACKGROUNDS]}
    edited, indices = found.cells["background_grey", 5], take(take(test, 20, 3), 7, 3).indices
    for k, index in enumerate(indices):
        height = 1 + index % 30
        np.testing.assert_array_equal(edited.image(k)[:height], test.image(index)[:height])
        assert np.ptp(edited.image(k)[height:], (0, 1)).max() == 0
    assert found.seconds > 0


@pytest.mark.parametrize(("masks", "words"), [
    (bands(47), "(?s)asked: a mask for each of the 48 images.*given: 47 in masks/test.*why: .*same order"),
    (bands(49), "49 in masks/test"),
    (bands(48, 28), "(?s)32×32 pixels.*28×28"),
    (bands(48) // 255, "(?s)nothing but black.*128 to 255"),
    (None, "such file"),
])  # fmt: skip
def test_masks_that_do_not_fit_are_refused_before_any_pass(masks, words, model, data, tmp_path, passes):
    folder = str(tmp_path / "masks") if masks is None else saved(masks, tmp_path / "masks")
    with pytest.raises(DataError, match=words) as caught:
        rmeeto.audit(model, data=str(data), out=tmp_path / "run", masks=folder, **QUICK)
    assert len(str(caught.value).splitlines()) == 3
    assert not (tmp_path / "run").exists()
    assert passes == []


def test_masks_of_split_off_images_are_those_of_the_whole_set(data, tmp_path):
    with np.load(data / "test.npz") as found:
        np.savez(tmp_path / "whole.npz", **found)
    np.savez(tmp_path / "parts.npz", images=bands(48), labels=np.zeros(48, int))
    evaluation = part_splits(options.DataOptions(str(tmp_path / "whole.npz"), 0.25), 0).evaluation
    wanted = CorruptionOptions(masks=str(tmp_path / "parts.npz"), severities=(5,))
    edited = open_corruptions(wanted, evaluation, 0).cells["background_grey", 5]
    assert len(edited) == len(evaluation) == 12
    for k, index in enumerate(evaluation.indices):
        np.testing.assert_array_equal(edited.image(k)[: 1 + index % 30], evaluation.image(k)[: 1 + index % 30])
        assert np.ptp(edited.image(k)[1 + index % 30 :], (0, 1)).max() == 0


def test_rebuild_checks_masks_of_files_against_the_whole_set_before_it_trains(data, tmp_path):
    with np.load(data / "test.npz") as found:
        for k, (image, label) in enumerate(zip(found["images"], found["labels"], strict=True)):
            folder = tmp_path / "files" / ("train" if k < 30 else "test") / found["classes"][label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{k:02}.png")
    file = tmp_path / "file"
    file.touch()
    given = {"model": "vim_test", "r": 2, "data": str(tmp_path / "files"), "limit": 9, "audit": True,
             "corruption_images": 6, "out": file}  # fmt: skip
    with pytest.raises(DataError, match=r"(?s)each of the 18 images.*9 in masks"):
        rmeeto.rebuild(**given, masks=saved(bands(9), tmp_path / "masks"))
    with pytest.raises(ConfigError, match="in the way"):  # masks passed; --out is the next to fail
        rmeeto.rebuild(**given, masks=saved(bands(18), tmp_path / "masks"))
    with pytest.raises(RmeetoError, match="--audit"):
        rmeeto.rebuild(**{**given, "audit": False}, masks=str(tmp_path / "masks"))
