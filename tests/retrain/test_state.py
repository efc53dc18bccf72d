import copy
import math

import pytest
import torch
from torch import nn
from toys import RECIPE, Toy, weights

from rmeeto.retrain.state import Best, Ema, TrainState, make_optimizer, parameter_groups
from rmeeto.retrain.world import World

ONE = World()


class Parts(nn.Module):
    """Parameters of every kind that the decay rule tells apart."""

    def __init__(self):
        super().__init__()
        self.proj, self.norm = nn.Linear(3, 4), nn.LayerNorm(4)
        self.pos_embed = nn.Parameter(torch.ones(1, 5, 4))
        self.A_log = nn.Parameter(torch.ones(4, 2))
        self.marked, self.frozen = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
        self.marked._no_weight_decay = True
        self.frozen.requires_grad_(False)

    def no_weight_decay(self):
        return {"pos_embed"}


def names(model, group):
    wanted = {id(p) for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in wanted}


def test_what_decays():
    model = Parts()
    decayed, exempt = parameter_groups(model, 0.05)
    assert names(model, decayed) == {"proj.weight", "A_log"}
    assert names(model, exempt) == {"proj.bias", "norm.weight", "norm.bias", "pos_embed", "marked"}
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.05, 0.0)


def test_exempt_by_last_name_and_by_full_name():
    class Nested(nn.Module):
        def __init__(self, exempt):
            super().__init__()
            self.inner, self.other, self.exempt = Parts(), Parts(), exempt

        def no_weight_decay(self):
            return self.exempt

    model = Nested({"A_log", "inner.proj.weight"})
    decayed = names(model, parameter_groups(model, 0.05)[0])
    assert decayed == {"inner.pos_embed", "other.pos_embed", "other.proj.weight"}


def test_decay_shrinks_the_matrices_only():
    model = Toy()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = make_optimizer(model, RECIPE.changed(weight_decay=0.5, lr=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in model.state_dict().items():
        factor = 1.0 if name.endswith("bias") else 1 - 0.1 * 0.5
        torch.testing.assert_close(value, before[name] * factor)


def step(state, gradient, **options):
    for parameter in state.model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    return state.update(**{"lr": 0.01, "clip": None, "world": ONE, **options})


@pytest.mark.parametrize("warm", [True, False])
def test_the_average_is_the_formula_in_every_step(warm):
    model = Toy().double()
    ema = Ema(model, 0.9, warm)
    expected = weights(model)
    for t in range(30):
        for parameter in model.parameters():
            parameter.data += 0.1
        ema.update(model)
        decay = min(0.9, (1 + t) / (10 + t)) if warm else 0.9
        expected = decay * expected + (1 - decay) * weights(model)
    assert weights(ema.model).dtype == torch.float32
    torch.testing.assert_close(weights(ema.model).double(), expected, rtol=1e-5, atol=1e-6)


def test_the_average_of_bf16_weights_is_fp32():
    model = Toy().bfloat16()
    ema = Ema(model, 0.999, warmup=False)
    for _ in range(3):
        model.head.bias.data += 1e-2
        ema.update(model)
    assert ema.model.head.bias.dtype == torch.float32
    assert not torch.equal(ema.model.head.bias, ema.model.head.bias.bfloat16().float())


def test_buffers_are_copied_into_the_average():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = Ema(model, 0.9)
    model[1].running_mean += 3
    ema.update(model)
    torch.testing.assert_close(ema.model[1].running_mean, model[1].running_mean)


def test_the_average_moves_in_every_optimiser_step():
    state = TrainState.begin(Toy(), RECIPE)
    for _ in range(5):
        step(state, 1.0)
    assert state.ema.updates == state.step == 5


def test_the_returned_norm_is_the_one_before_clipping():
    state = TrainState.begin(Toy(), RECIPE)
    count = weights(state.model).numel()
    assert step(state, 2.0, clip=0.5).item() == pytest.approx(2 * math.sqrt(count), rel=1e-5)


def test_clipping_scales_the_whole_gradient(monkeypatch):
    state = TrainState.begin(Toy(), RECIPE)
    seen = []

    def record(*_):
        seen.extend(p.grad.clone() for p in state.model.parameters())

    monkeypatch.setattr(state.optimizer, "step", record)
    step(state, 2.0, clip=0.5)
    gradient = torch.cat([g.reshape(-1) for g in seen])
    assert gradient.norm().item() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(gradient, gradient[0].expand_as(gradient))


def test_the_optimiser_takes_the_learning_rate_it_is_given():
    state = TrainState.begin(Toy(), RECIPE.changed(weight_decay=0.0))
    before = weights(state.model)
    step(state, 1.0, lr=0.25)  # Adam's first step is lr in size
    torch.testing.assert_close(weights(state.model), before - 0.25)


def test_later_wins_a_tie_for_the_best():
    best, model = Best(), Toy()
    best.offer(0.5, 1, "last", model)
    best.offer(0.5, 2, "ema", model)
    best.offer(0.4, 3, "last", model)
    assert (best.accuracy, best.step, best.which) == (0.5, 2, "ema")


def test_later_wins_within_the_noise_but_does_not_lower_the_bar():
    best, model = Best(), Toy()
    best.offer(0.50, 1, "last", model)
    for step, accuracy in enumerate((0.48, 0.46, 0.44), 2):
        best.offer(accuracy, step, "last", model, noise=0.045)
    assert (best.accuracy, best.step) == (0.50, 3)


def test_the_best_is_a_copy():
    best, model = Best(), Toy()
    best.offer(0.5, 1, "last", model)
    expected = model.head.bias.detach().clone()
    model.head.bias.data += 1
    torch.testing.assert_close(best.weights["head.bias"], expected)


def test_state_round_trip_goes_on_bit_for_bit():
    one = TrainState.begin(Toy(), RECIPE)
    for _ in range(3):
        step(one, 0.5)
    saved = one.to_dict()
    saved = copy.deepcopy(saved)
    step(one, -0.3)
    other = TrainState.begin(Toy(seed=5), RECIPE)
    other.load_dict(saved)
    step(other, -0.3)
    assert torch.equal(weights(one.model), weights(other.model))
    assert torch.equal(weights(one.ema.model), weights(other.ema.model))
    assert other.step == 4
