"""Runs bounded by a clock that the network itself advances: a training step takes one second."""

import pytest
from toys import PREPROCESSING, RECIPE, TRAIN, VAL, Toy

from rmeeto.retrain import Trained, Validated, retrain, schedule

TIMED = RECIPE.changed(max_steps=None, minutes=2.0, log_every=1, lr=0.01, min_lr=1e-6)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        time = 1000.0
        training, validating = 1.0, 0.01  # seconds a training step, an image in validation

    monkeypatch.setattr(schedule, "perf_counter", lambda: Clock.time)
    return Clock


class Takes(Toy):
    """Advances the clock in every forward pass."""

    def __init__(self, clock):
        super().__init__()
        self.clock = [clock]

    def forward(self, x):
        seconds = self.clock[0].training if self.training else self.clock[0].validating * len(x)
        self.clock[0].time += seconds
        return super().forward(x)


def train(clock, folder, recipe=TIMED, val=VAL):
    events, began = [], clock.time
    model = Takes(clock)
    result = retrain(
        model, recipe, TRAIN, val, folder, preprocessing=PREPROCESSING, on_event=events.append
    )
    return result, events, clock.time - began


def test_the_run_ends_in_time_with_its_schedule_finished(tmp_path, clock):
    result, events, seconds = train(clock, tmp_path)
    rates = [event.lr for event in events if isinstance(event, Trained)]
    assert result.stopped_by == "minutes"
    assert 110 < seconds <= 120
    assert result.minutes == pytest.approx(seconds / 60)
    assert rates[0] == 0.01
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.01 * 0.001
    assert isinstance(events[-3], Validated)  # then the checkpoint, then the end


def test_a_machine_that_slows_down_still_ends_in_time(tmp_path, clock):
    def slower(self, x, forward=Takes.forward):
        clock.training *= 1.02
        return forward(self, x)

    model_forward, Takes.forward = Takes.forward, slower
    try:
        result, events, seconds = train(clock, tmp_path)
    finally:
        Takes.forward = model_forward
    assert result.stopped_by == "minutes"
    assert seconds <= 120 + clock.training  # one step at most: its length can't be known before
    assert [event.lr for event in events if isinstance(event, Trained)][-1] < 0.001


def test_validation_takes_a_tenth_of_the_time_at_most(tmp_path, clock):
    clock.validating = 0.1  # 8 seconds a validation of the weights and their average
    result, events, seconds = train(clock, tmp_path)
    validated = [event for event in events if isinstance(event, Validated)]
    assert seconds <= 120
    assert len(validated) == 2  # one on the way, one at the end; 20 epochs would have had 20
    assert validated[-1].step == result.steps


def test_speed_leaves_validation_out(tmp_path, clock):
    clock.validating = 0.1
    result, events, _ = train(clock, tmp_path)
    assert result.images_per_second == pytest.approx(16, rel=1e-6)
    for event in events:
        if isinstance(event, Trained):
            assert event.images_per_second == pytest.approx(16, rel=1e-6)


def test_time_left_is_known_after_a_few_steps(tmp_path, clock):
    _, events, seconds = train(clock, tmp_path, val=None)
    trained = [event for event in events if isinstance(event, Trained)]
    for event in trained[2:]:
        assert event.seconds + event.seconds_left == pytest.approx(seconds, abs=2)


def test_steps_may_come_first(tmp_path, clock):
    result, events, _ = train(clock, tmp_path, TIMED.changed(max_steps=20))
    assert (result.steps, result.stopped_by) == (20, "steps")
    assert [event.lr for event in events if isinstance(event, Trained)][-1] < 0.01 * 0.01


def test_checkpoints_by_seconds(tmp_path, clock):
    from rmeeto.retrain import Saved

    _, events, _ = train(clock, tmp_path, TIMED.changed(checkpoint_seconds=25.0), val=None)
    steps = [event.step for event in events if isinstance(event, Saved)]
    assert steps[:4] == [25, 50, 75, 100]
    assert len(steps) == 5


def test_a_resumed_run_keeps_its_deadline(tmp_path, clock):
    class StopError(Exception):
        pass

    def stop(event):
        if isinstance(event, Trained) and event.step == 61:
            raise StopError

    recipe = TIMED.changed(checkpoint_every=30)
    with pytest.raises(StopError):
        retrain(
            Takes(clock), recipe, TRAIN, None, tmp_path, preprocessing=PREPROCESSING, on_event=stop
        )
    clock.time += 5000  # a pause does not count
    result, _, seconds = train(clock, tmp_path, recipe, val=None)
    assert seconds == pytest.approx(60, abs=1)
    assert result.steps == pytest.approx(120, abs=1)
