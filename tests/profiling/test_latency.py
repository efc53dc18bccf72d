"""compare_speed on a clock that only candidates move: order, ratios, stopping, restored state."""

import itertools
import json

import pytest
import torch
from torch import nn

from rmeeto.config import to_dict
from rmeeto.errors import ConfigError
from rmeeto.profiling.latency import Stop, compare_speed, estimate_cost


class FakeMachine:
    """A clock, and candidates that move it by (seconds per image · batch · slowdown)."""

    def __init__(self):
        self.now, self.log, self.slowdown = 0.0, [], itertools.repeat(1.0)

    def clock(self):
        return self.now

    def candidate(self, label, seconds):
        times = iter(seconds) if isinstance(seconds, (list, tuple)) else itertools.repeat(seconds)

        def call(images):
            self.log.append((label, len(images)))
            self.now += next(times) * len(images) * next(self.slowdown)

        return call


def images(batch_size):
    return torch.zeros(batch_size, 3, 4, 4)


def compare(machine, candidates, batch_sizes=(1,), stop=None, warmup=0, **kwargs):
    stop = stop or Stop(repeats=6, min_seconds=0.0)
    return compare_speed(
        candidates, images, batch_sizes, stop, warmup, clock=machine.clock, **kwargs
    )


def test_candidates_take_turns_and_the_order_rotates():
    m = FakeMachine()
    compare(m, {k: m.candidate(k, 0.01) for k in "abc"}, warmup=1, batch_sizes=(2,))
    estimate, warmup, rounds = m.log[:6], m.log[6:9], m.log[9:]
    assert [k for k, _ in estimate] == list("aabbcc")
    assert [k for k, _ in warmup] == list("abc")
    assert "".join(k for k, _ in rounds) == "abcbcacababcbcacab"
    assert all(size == 2 for _, size in m.log)


def test_medians_percentiles_and_speed():
    m = FakeMachine()
    skipped = [9.0, 9.0]  # the estimate's two calls
    result = compare(
        m,
        {"a": m.candidate("a", [*skipped, 0.1, 0.2, 0.3, 0.4, 0.5])},
        batch_sizes=(4,),
        stop=Stop(repeats=5, max_rounds=5),
    )
    (t,) = result.timings
    assert t.seconds == pytest.approx((0.4, 0.8, 1.2, 1.6, 2.0))
    assert (t.median, t.p20, t.p80) == pytest.approx((1.2, 0.72, 1.68))
    assert t.images_per_second == pytest.approx(4 / 1.2)
    assert result.speedups == ()


def test_the_ratio_survives_a_machine_that_changes_speed():
    m = FakeMachine()
    m.slowdown = iter([1.0] * 4 + [x for i in range(50) for x in (1 + i, 1 + i)])
    result = compare(
        m,
        {"base": m.candidate("base", 0.03), "fast": m.candidate("fast", 0.02)},
        flops={"base": 2e9, "fast": 1e9},
    )
    (s,) = result.speedups
    assert s.label == "fast"
    assert (s.ratio.value, s.ratio.low, s.ratio.high) == pytest.approx((1.5, 1.5, 1.5))
    assert s.ratio.unit == "×"
    assert (s.ceiling, s.realised) == pytest.approx((2.0, 0.75))
    assert result.timings[0].p95 > 3 * result.timings[0].p5  # though single times vary wildly


def test_stops_when_the_interval_is_narrow():
    m = FakeMachine()
    result = compare(m, {"a": m.candidate("a", 0.1), "b": m.candidate("b", 0.1)})
    assert result.stopped == {1: "interval"}
    assert result.timings[0].rounds == 6


def test_goes_on_while_the_interval_is_wide_until_the_budget_is_spent():
    m = FakeMachine()
    noisy = m.candidate("b", [0.1, 0.1] + [0.05, 0.1, 0.2] * 100)
    stop = Stop(repeats=6, budget_seconds=5.0, width=0.01)
    result = compare(m, {"a": m.candidate("a", 0.1), "b": noisy}, stop=stop)
    assert result.stopped == {1: "budget"}
    assert result.timings[0].rounds > 20
    assert result.timings[0].rounds * 0.2 < 5.5


def test_a_tiny_budget_still_makes_three_rounds():
    m = FakeMachine()
    result = compare(m, {"a": m.candidate("a", 9.0)}, stop=Stop(budget_seconds=1.0))
    assert (result.stopped, result.timings[0].rounds) == ({1: "budget"}, 3)


def test_min_seconds_and_max_rounds():
    m = FakeMachine()
    long = compare(m, {"a": m.candidate("a", 0.1)}, stop=Stop(repeats=3, min_seconds=2.0))
    assert long.timings[0].rounds * 0.1 >= 2.0 - 1e-9
    noisy = {"a": m.candidate("a", 0.1), "b": m.candidate("b", [0.1, 0.2] * 20)}
    capped = compare(m, noisy, stop=Stop(repeats=3, max_rounds=7, width=1e-9))
    assert (capped.stopped, capped.timings[0].rounds) == ({1: "rounds"}, 7)


def test_cost_is_announced_before_the_long_part():
    m = FakeMachine()
    seen = []
    result = compare(
        m,
        {"a": m.candidate("a", 0.01)},
        batch_sizes=(1, 100),
        warmup=2,
        stop=Stop(repeats=10, min_seconds=0.0, budget_seconds=4.0),
        on_estimate=lambda e: seen.append((e, len(m.log))),
    )
    ((estimate, calls),) = seen
    assert calls == 2
    assert estimate == result.estimate
    assert estimate.seconds == pytest.approx((2 + 10) * 0.01 + 2 * 1.0 + 4.0)
    assert "batch 1" in str(estimate)


def test_estimate_alone_times_the_second_call():
    m = FakeMachine()
    estimate = estimate_cost({"a": m.candidate("a", [7.0, 0.5])}, images, (2,), clock=m.clock)
    assert estimate.call_seconds == pytest.approx({"a": 1.0})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Dropout(0.5)
        self.seen = []

    def forward(self, x):
        self.seen.append(
            (
                self.training,
                self.inner.training,
                torch.is_grad_enabled(),
                torch.get_num_threads(),
                torch.is_autocast_enabled("cpu"),
            )
        )
        return x


def test_modules_run_in_eval_mode_and_everything_is_put_back():
    net, threads = Net().train(), torch.get_num_threads()
    net.inner.eval()
    compare_speed({"net": net}, images, (1,), Stop(3, 0.0), 1, threads=1, precision="bf16")
    assert set(net.seen) == {(False, False, False, 1, True)}
    assert (net.training, net.inner.training) == (True, False)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_state_is_put_back_after_an_error():
    def fail(_):
        raise RuntimeError("broken")

    net, threads = Net().train(), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="broken"):
        compare_speed({"net": net, "bad": fail}, images, (1,), threads=1)
    assert net.training
    assert torch.get_num_threads() == threads


def test_result_becomes_plain_values():
    m = FakeMachine()
    result = compare(m, {"a": m.candidate("a", 0.1), "b": m.candidate("b", 0.1)})
    plain = json.loads(json.dumps(to_dict(result)))
    assert plain["baseline"] == "a"
    assert plain["timings"][0]["median"] == pytest.approx(0.1)
    assert plain["speedups"][0]["ratio"]["unit"] == "×"
    assert plain["machine"]["threads"] == torch.get_num_threads()


def test_refuses_nothing_to_time_and_too_few_rounds():
    with pytest.raises(ConfigError, match="candidates"):
        compare_speed({}, images)
    with pytest.raises(ConfigError, match="repeats"):
        Stop(repeats=2)
    with pytest.raises(ConfigError, match="precision"):
        compare_speed({"a": lambda x: x}, images, (1,), precision="fp8")
