"""Initial weights and stochastic depth come from their own seeds and have the right statistics."""

import pytest
import torch
import torch.nn.functional as F

from rmeeto import create_model, list_models
from rmeeto.backbones.init import drop_path_rates


@pytest.mark.parametrize("name", list_models("*_test"))
def test_seeded_and_without_the_global_generator(name):
    state = torch.random.get_rng_state()
    first, again, other = (create_model(name, seed=s) for s in (1, 1, 2))
    first.reset_classifier(3)
    create_model(name, drop_path=0.5).train()(torch.zeros(2, 3, 32, 32))
    assert torch.equal(torch.random.get_rng_state(), state)
    first.reset_classifier(10, seed=3)
    again.reset_classifier(10, seed=3)
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.patch_embed.proj.weight, other.patch_embed.proj.weight)
    for key, value in first.named_parameters():
        assert value.isfinite().all(), key


def median_step(model, suffix):
    biases = [getattr(layer.mixer, f"dt_proj{suffix}").bias for layer in model.layers]
    return float(F.softplus(torch.cat(biases).detach()).median())


@pytest.mark.parametrize(
    ("name", "init", "ahead", "back"),
    [
        ("vim_test", "upstream", 0.01, 0.693),
        ("vim_test", "balanced", 0.01, 0.01),
        ("videomamba_test", "upstream", 0.693, 0.693),
        ("videomamba_test", "balanced", 0.01, 0.01),
    ],
)
def test_step_sizes_of_both_directions(name, init, ahead, back):
    model = create_model(name, init=init, embed_dim=96)
    assert median_step(model, "") == pytest.approx(ahead, rel=0.25)
    assert median_step(model, "_b") == pytest.approx(back, rel=0.25)
    assert (init == "balanced") == (ahead == back == 0.01)


def test_scale_of_the_weights():
    model = create_model("vim_test", embed_dim=192).requires_grad_(False)
    mixer = model.layers[0].mixer
    assert mixer.in_proj.weight.std() == pytest.approx((1 / 192 / 3) ** 0.5, rel=0.05)
    assert mixer.out_proj.weight.std() == pytest.approx((1 / 384 / 3 / 4) ** 0.5, rel=0.05)
    assert mixer.conv1d_b.weight.std() == pytest.approx((1 / 4 / 3) ** 0.5, rel=0.05)
    assert model.pos_embed.std() == pytest.approx(0.02, rel=0.1)
    assert model.patch_embed.proj.weight.std() == pytest.approx((1 / 192) ** 0.5, rel=0.05)
    for log in (mixer.A_log, mixer.A_b_log):
        torch.testing.assert_close(log.exp(), torch.arange(1.0, 9).expand(384, 8))
    assert torch.equal(mixer.D_b, torch.ones(384))


def test_drop_path_rates_rise_from_zero():
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0.3]
    assert drop_path_rates(0.0, 3) == [0, 0, 0]
    model = create_model("vim_test", drop_path=0.3)
    found = [layer.drop_path.rate for layer in model.layers]
    assert found == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", list_models("*_test"))
def test_drop_path_repeats_with_its_seed_and_is_off_in_evaluation(name):
    model = create_model(name, drop_path=0.9)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    runs = []
    for seed in (4, 4, 5):
        model.seed_drop_path(seed)
        runs.append(model(images))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[2], model(images))  # the stream goes on
    plain = create_model(name, drop_path=0.0)
    assert torch.equal(model.eval()(images), plain.eval()(images))
    assert torch.equal(plain.train()(images), plain.eval()(images))


def test_drop_path_drops_whole_updates_and_keeps_the_mean():
    model = create_model("vim_test", drop_path=0.5)
    drop = model.layers[-1].drop_path
    assert drop.rate == 0.5
    kept = drop(torch.ones(4000, 2, 3))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(kept.amin((1, 2)), kept.amax((1, 2)))
    assert kept.mean() == pytest.approx(1, abs=0.06)
