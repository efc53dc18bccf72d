"""The other commands on tiny models and images."""

import numpy as np
import pytest
from PIL import Image

import rmeeto
from rmeeto.errors import ConfigError, DataError
from rmeeto.workflows import (
    bench_run,
    evaluate_run,
    flat_options,
    inspect_run,
    options,
    predict_run,
    sweep_run,
    train_run,
)
from rmeeto.workflows.setup import build_reducer, open_splits, parse_sites


def run(module, cls, **settings):
    """Run one command from its flags."""
    return module.run(flat_options(cls, settings))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Folder of a model trained for a few steps."""
    out = tmp_path_factory.mktemp("train") / "run"
    run(train_run, options.TrainOptions, model="vim_test", data=str(data), max_steps=6, out=out,
        train_batch_size=16)  # fmt: skip
    return out


def test_train_writes_a_model_that_evaluate_reads(trained, data, tmp_path):
    record = run(evaluate_run, options.EvaluateOptions, model=str(trained / "model"), data=str(data),
                 out=tmp_path)  # fmt: skip
    before = rmeeto.RunRecord.load(trained / "record.json")
    assert record.metric("top1").value == before.metric("top1").value


def test_a_saved_model_refuses_other_settings(trained, data, tmp_path):
    with pytest.raises(ConfigError, match="img_size"):
        run(evaluate_run, options.EvaluateOptions, model=str(trained / "model"), img_size=64,
            data=str(data), out=tmp_path)  # fmt: skip


def test_sweep_keeps_going_past_an_impossible_r(data, tmp_path):
    record = run(sweep_run, options.SweepOptions, model="vim_test", data=str(data), rs=(0, 2, 90),
                 methods=("rmeeto", "prune_random"), out=tmp_path)  # fmt: skip
    rows = record.tables[0].rows
    assert len(rows) == 6
    assert [row[2] is None for row in rows] == [False, False, True] * 2


def test_bench_states_its_input(data, tmp_path):
    noise = run(bench_run, options.BenchOptions, model="vim_test", r=2, batches=(2,),
                speed_seconds=0.5, out=tmp_path)  # fmt: skip
    assert any("noise" in warning for warning in noise.warnings)
    assert noise.metric("speedup@2", "reduced").value > 0


def test_predict_names_what_it_cannot_read(trained, tmp_path):
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"not an image")
    record = run(predict_run, options.PredictOptions, images=(tmp_path,), model=str(trained / "model"),
                 out=tmp_path / "out")  # fmt: skip
    assert [row[1] for row in record.tables[0].rows] == [1, 2, 3]
    assert sum(row[3] for row in record.tables[0].rows) == pytest.approx(100, abs=0.1)
    assert "b.png" in record.skipped["unreadable"]["names"][0]


def test_inspect_draws_an_image(tmp_path):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "a.png")
    record = run(inspect_run, options.InspectOptions, model="vim_test", r=2, image=tmp_path / "a.png",
                 out=tmp_path / "out")  # fmt: skip
    assert len(record.pictures) == 1
    assert record.metric("tokens_last", "reduced").value < record.metric("tokens_last", "baseline").value


def test_no_image_is_in_two_splits(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    images[:, 0, 0] = np.arange(60)
    np.savez(tmp_path / "all.npz", images=images, labels=np.arange(60) % 3)
    splits = open_splits(options.DataOptions(data=str(tmp_path / "all.npz"), validation=0.2), seed=0)
    seen = [s.image(i)[0, 0, 0] for s in (splits.train, splits.validation, splits.evaluation) for i in range(len(s))]
    assert sorted(seen) == list(range(60))


@pytest.mark.parametrize(("text", "sites"), [
    (None, None), ("even", "even"), ("3", 3), ("2,4,8", (2, 4, 8)), ("1,", (1,)),
    (3, 3), ((2, 4), (2, 4)), ([1], (1,)),
])  # fmt: skip
def test_sites_as_text(text, sites):
    assert parse_sites(text) == sites


def test_flags_that_a_method_lacks_are_refused():
    with pytest.raises(ConfigError, match="metric"):
        build_reducer(options.ReductionOptions(method="prune_random", r=2, metric="b"))


def test_missing_image_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no such path"):
        list(predict_run.image_files([tmp_path / "none.png"]))
