import math

import pytest

from rmeeto.retrain import Recipe, schedule
from rmeeto.retrain.schedule import Budget, LearningRate, step_limit


class Clock:
    """A clock that is told the time."""

    def __init__(self, monkeypatch):
        self.time = 100.0
        monkeypatch.setattr(schedule, "perf_counter", lambda: self.time)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_cosine_without_warmup():
    rate = LearningRate(peak=2e-5, floor=1e-6)
    steps = 8
    rates = [rate(t, t / steps) for t in range(steps)]
    expected = [1e-6 + 1.9e-5 * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps)]
    assert rates == pytest.approx(expected, rel=1e-12)
    assert rates[0] == 2e-5
    assert rate(steps, 1.0) == pytest.approx(1e-6)
    assert rates[4] == pytest.approx(1.05e-5)


def test_warmup_in_steps_reaches_the_peak_in_its_last_step():
    rate = LearningRate(1.0, 0.0, warmup=4)
    ramp = [rate(t, 0.0) for t in range(6)]
    assert ramp == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_warmup_as_a_share_starts_at_the_floor_and_times_the_cosine():
    rate = LearningRate(1.0, 0.1, warmup=0.5)
    assert rate(0, 0.0) == 0.1
    assert rate(1, 0.25) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)) / 2)
    assert rate(2, 0.5) == pytest.approx(0.1 + 0.9 * 0.5)
    assert rate(4, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs": 3}, 300), ({"epochs": 0.5}, 50), ({"epochs": 0.001}, 1),
        ({"epochs": 3, "max_steps": 7}, 7), ({"max_steps": 700}, 700), ({"minutes": 1}, None),
        ({"minutes": 1, "epochs": 2}, 200),
    ],
)  # fmt: skip
def test_step_limit(settings, expected):
    assert step_limit(Recipe(**settings), 100) == expected


def test_a_step_bound_ignores_the_clock(clock):
    budget = Budget(4, None)
    fractions = []
    for step in range(4):
        assert budget.stop(step) is None
        fractions.append(budget.fraction(step))
        clock.time += 1000
        budget.tick(step + 1, budget.clock())
    assert fractions == [0, 0.25, 0.5, 0.75]
    assert budget.stop(4) == "steps"
    assert budget.planned(4) == 4
    assert budget.seconds_left(4) == 0


def run(budget, clock, durations):
    """Steps of the given durations until the budget stops; (fractions, what stopped it)."""
    fractions, step = [], 0
    for duration in durations:
        if budget.stop(step):
            break
        fractions.append(budget.fraction(step))
        clock.time += duration
        step += 1
        budget.tick(step, budget.clock())
    return fractions, budget.stop(step)


def test_a_time_bound_finishes_the_schedule_before_the_deadline(clock):
    budget = Budget(None, 10.0)
    budget.reserve = 2.0
    fractions, reason = run(budget, clock, [0.1] * 1000)
    assert reason == "minutes"
    assert budget.elapsed <= 8.0 + 1e-9
    assert len(fractions) in (79, 80)
    assert fractions[-1] == pytest.approx(1 - 1 / 80, abs=0.02)


def test_a_slow_machine_is_replanned(clock):
    budget = Budget(1000, 10.0)
    run(budget, clock, [0.1] * 5)
    assert budget.planned(5) == 5 + 95
    fractions, reason = run(Budget(1000, 10.0), clock, [0.05] * 40 + [0.5] * 1000)
    assert reason == "minutes"
    assert len(fractions) < 60
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9


def test_the_slow_first_step_does_not_count_for_the_speed(clock):
    budget = Budget(100, 1000.0)
    run(budget, clock, [50.0] + [1.0] * 9)
    assert budget.seconds_left(10) == pytest.approx(90)


def test_a_bound_in_both_ends_with_whichever_is_first(clock):
    fractions, reason = run(Budget(10, 100.0), clock, [1.0] * 50)
    assert (len(fractions), reason) == (10, "steps")
    assert fractions[-1] == 0.9


def test_one_step_is_always_done(clock):
    budget = Budget(None, 1.0)
    budget.reserve = 5.0
    fractions, reason = run(budget, clock, [0.1] * 5)
    assert (len(fractions), reason) == (1, "minutes")


def test_the_share_never_falls_when_the_reserve_shrinks(clock):
    budget = Budget(None, 10.0)
    budget.reserve = 5.0
    clock.time += 4
    budget.tick(1, budget.clock())
    before = budget.fraction(1)
    budget.reserve = 0.0
    assert budget.fraction(1) == before == 0.8


def test_a_resumed_run_has_spent_its_time(clock):
    budget = Budget(None, 10.0, elapsed=9.9)
    assert budget.fraction(50) == pytest.approx(0.99)
    clock.time += 0.2
    budget.tick(51, budget.clock())
    assert budget.stop(51) == "minutes"
