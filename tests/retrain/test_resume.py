import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed import train as train_slow
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy, images, timeless, weights

import rmeeto
from rmeeto.data import Preprocessing
from rmeeto.errors import ConfigError, StorageError, WeightsError
from rmeeto.retrain import Finished, Started, checkpoint, retrain

SAVING = RECIPE.changed(checkpoint_every=3, max_steps=14)


class BreakOffError(Exception):
    pass


def train(model, folder, recipe=SAVING, **changed):
    arguments = {"train": TRAIN, "val": VAL, "preprocessing": PREPROCESSING, **changed}
    return retrain(model, recipe, out_dir=folder, **arguments)


def interrupt(folder, at, recipe=SAVING, model=None):
    """Train until step ``at`` has begun, then break off."""
    model = model or Toy(noise=0.1)
    steps = []
    seed = model.seed_drop_path

    def counting(value):
        if len(steps) == at:
            raise BreakOffError
        steps.append(value)
        seed(value)

    model.seed_drop_path = counting
    with pytest.raises(BreakOffError):
        train(model, folder, recipe)


def test_killed_twenty_times_ends_with_the_same_bits(tmp_path):
    driver = Path(__file__).with_name("killed.py")
    command = [sys.executable, str(driver), str(tmp_path / "killed"), "20", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 20  # all of them while it was training
    killed = train_slow(tmp_path / "killed", delay=0)
    whole = train_slow(tmp_path / "whole", delay=0)
    assert torch.equal(weights(killed), weights(whole))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("killed", "whole")]
    killed_lines, lines = ([json.loads(x) for x in log.splitlines()] for log in logs)
    assert timeless(killed_lines) == timeless(lines)
    names = [sorted(p.name for p in (tmp_path / n).iterdir()) for n in ("killed", "whole")]
    assert names == [["checkpoint.pt", "log.jsonl"]] * 2  # nothing half-written is left behind
    saved = [checkpoint.load(tmp_path / n / "checkpoint.pt") for n in ("killed", "whole")]
    for which in ("last", "ema", "kept"):
        for name, value in saved[0]["weights"][which].items():
            assert torch.equal(value, saved[1]["weights"][which][name])


@pytest.mark.parametrize("at", [1, 3, 4, 8, 13])
def test_broken_off_anywhere_ends_the_same(tmp_path, at):
    whole = Toy(noise=0.1)
    expected = train(whole, tmp_path / "whole")
    interrupt(tmp_path / "broken", at)
    model, events = Toy(noise=0.1), []
    result = train(model, tmp_path / "broken", on_event=events.append)
    assert torch.equal(weights(model), weights(whole))
    assert timeless(result.history) == timeless(expected.history)
    assert result.best_accuracy == expected.best_accuracy
    started = next(event for event in events if isinstance(event, Started))
    assert started.step == at // 3 * 3


def test_killed_between_the_last_step_and_the_end(tmp_path, monkeypatch):
    from rmeeto.retrain.run import Run

    recipe = SAVING.changed(checkpoint_every=1)
    finish = Run.finish

    def broken(self):
        self.save()
        raise BreakOffError

    monkeypatch.setattr(Run, "finish", broken)
    with pytest.raises(BreakOffError):
        train(Toy(), tmp_path, recipe)
    monkeypatch.setattr(Run, "finish", finish)
    model, whole = Toy(), Toy()
    result = train(model, tmp_path, recipe)
    assert result.steps == 14
    train(whole, tmp_path / "whole", recipe)
    assert torch.equal(weights(model), weights(whole))


def test_lines_after_the_checkpoint_are_dropped_and_a_torn_one_as_well(tmp_path):
    interrupt(tmp_path, 11)
    log = tmp_path / "log.jsonl"
    lines = log.read_text().splitlines()
    assert [json.loads(x)["step"] for x in lines] == [4, 5, 8, 10]
    log.write_text(log.read_text() + '{"kind": "trai')
    result = train(Toy(noise=0.1), tmp_path)
    lines = [json.loads(x) for x in log.read_text().splitlines()]
    assert lines == result.history
    assert [x["step"] for x in lines] == [4, 5, 8, 10, 12, 14, 14]


def test_a_finished_run_is_not_run_again(tmp_path):
    model, again, events = Toy(), Toy(), []
    result = train(model, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes(), (tmp_path / "log.jsonl").read_bytes()
    assert train(again, tmp_path, on_event=events.append) == result
    assert [type(event) for event in events] == [Finished]
    assert torch.equal(weights(again), weights(model))
    assert train(model, tmp_path) == result  # begun with the weights that the run ended with
    after = (tmp_path / "checkpoint.pt").read_bytes(), (tmp_path / "log.jsonl").read_bytes()
    assert before == after


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("recipe.lr", {"recipe": SAVING.changed(lr=0.02)}),
        ("recipe.max_steps", {"recipe": SAVING.changed(max_steps=15)}),
        ("recipe.clip_grad", {"recipe": SAVING.changed(clip_grad=1.0)}),
        ("data.train", {"train": images(80, seed=5)}),
        ("data.validation", {"val": images(40, seed=5)}),
        ("data.validation", {"val": None}),
        ("data.preprocessing.std", {"preprocessing": Preprocessing(8, 1, (0.5,), (0.5,))}),
        ("teacher", {"recipe": SAVING.changed(distill_weight=0.5), "teacher": Toy(3)}),
        ("weights at the start", {"model": Toy(1)}),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_another_run_is_refused(tmp_path, what, changed, finished):
    if finished:
        train(Toy(), tmp_path)
    else:
        interrupt(tmp_path, 7, model=Toy())
    before = (tmp_path / "checkpoint.pt").read_bytes()
    arguments = {"model": Toy(), **changed}
    with pytest.raises(ConfigError) as caught:
        train(arguments.pop("model"), tmp_path, **arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert what in text or what == "teacher"
    assert "--no-resume" in text
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_another_model_is_refused(tmp_path):
    class Wider(Toy):
        def __init__(self):
            super().__init__()
            self.extra = torch.nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return super().forward(x) + 0 * self.extra.sum()

    train(Toy(), tmp_path)
    with pytest.raises(ConfigError, match=r"model\."):
        train(Wider(), tmp_path)


def test_another_reduction_is_refused_by_the_setting_that_differs(tmp_path):
    def reduced(r):
        model = rmeeto.create_model(
            "vim_test", img_size=8, patch_size=2, in_chans=1, num_classes=4, embed_dim=8, depth=2
        )
        return rmeeto.reduce_(model, rmeeto.RMeeTo(r=r))

    recipe = SAVING.changed(max_steps=1)
    train(reduced(2), tmp_path, recipe)
    with pytest.raises(ConfigError, match=r"model\.reduction\.r: 3 now, 2 there"):
        train(reduced(3), tmp_path, recipe)


def test_what_does_not_decide_the_result_may_change(tmp_path):
    interrupt(tmp_path / "a", 7)
    model, whole = Toy(noise=0.1), Toy(noise=0.1)
    train(model, tmp_path / "a", SAVING.changed(checkpoint_every=None, eval_batch_size=7))
    train(whole, tmp_path / "b")
    assert torch.equal(weights(model), weights(whole))


def test_no_resume_starts_over_and_leaves_nothing_to_resume(tmp_path):
    train(Toy(), tmp_path)
    recipe = SAVING.changed(checkpoint_every=None)
    model = Toy(noise=0.1)
    model.seed_drop_path = None  # fails in the first step
    with pytest.raises(TypeError):
        train(model, tmp_path, recipe, resume=False)
    assert not (tmp_path / "checkpoint.pt").exists()
    events = []
    train(Toy(), tmp_path, SAVING.changed(seed=4), resume=False, on_event=events.append)
    assert events[0].step == 0


def test_a_damaged_checkpoint_is_refused(tmp_path):
    interrupt(tmp_path, 7)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="--no-resume"):
        train(Toy(), tmp_path)


def test_a_checkpoint_holds_no_code(tmp_path):
    interrupt(tmp_path, 7)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["step"] == 6


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    """The sixth step's checkpoint fails as on a full disk; the third step's can be resumed."""
    writes = []
    path_type = type(tmp_path)
    open_ = path_type.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(self, *args, **kwargs):
        file = open_(self, *args, **kwargs)
        if "checkpoint" in self.name and "x" in (args or [""])[0]:
            writes.append(self)
            if len(writes) == 2:
                return Full(file)
        return file

    monkeypatch.setattr(path_type, "open", full)
    with pytest.raises(StorageError, match="full"):
        train(Toy(), tmp_path)
    assert len(writes) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    assert checkpoint.load(tmp_path / "checkpoint.pt")["state"]["step"] == 3
    model, whole = Toy(), Toy()
    train(model, tmp_path)
    train(whole, tmp_path / "whole")
    assert torch.equal(weights(model), weights(whole))


def test_what_a_kill_left_half_written_is_removed(tmp_path):
    interrupt(tmp_path, 7)
    (tmp_path / ".checkpoint.pt.1234abcd.tmp").write_bytes(b"half")
    (tmp_path / "mine.tmp").write_bytes(b"")
    train(Toy(noise=0.1), tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["checkpoint.pt", "log.jsonl", "mine.tmp"]


def test_a_log_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "log.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError):
        train(Toy(), tmp_path)


def test_an_unwritable_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        train(Toy(), tmp_path / "file" / "run")
