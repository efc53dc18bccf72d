"""What every registered backbone promises, over the small variants of each family."""

import copy

import pytest
import torch

from rmeeto import RMeeTo, create_model, list_models, reduce_, restore_
from rmeeto.errors import ConfigError, ShapeError, UnknownNameError

TESTS = list_models("*_test")
MICROS = list_models("*_micro_*")


def images_for(model, batch=2, dtype=torch.float32):
    c = model.config
    generator = torch.Generator().manual_seed(5)
    return torch.randn(batch, c.in_chans, *c.image_hw, generator=generator).to(dtype)


def logits(model, images):
    with torch.no_grad():
        return model.eval()(images)


def test_every_family_has_a_test_variant():
    families = {create_model(name).config.family for name in TESTS}
    assert families == {"vim", "videomamba", "vit"}
    assert {name.split("_")[0] for name in list_models()} <= families | {"deit"}
    assert len(MICROS) == 5


@pytest.mark.parametrize("name", TESTS + MICROS)
def test_forward_backward(name):
    model = create_model(name)
    out = model(images_for(model))
    assert out.shape == (2, 10)
    assert out.dtype == torch.float32
    assert 0.01 < out.std() < 1
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", TESTS)
def test_host_contract(name):
    model = create_model(name)
    assert len(model.sites) == model.config.depth
    assert list(model.sites) == sorted(set(model.sites))
    assert max(model.sites) < len(model.block_list())
    assert model.num_tokens == model.grid[0] * model.grid[1] + model.num_protected
    assert model.tap_width("update") == model.tap_width(None) == model.num_features
    with pytest.raises(ConfigError, match="use one of"):
        model.tap_width("nonsense")
    state = model.embed(images_for(model))
    assert state.start == model.num_tokens
    assert state.protected.sum(1).tolist() == [1, 1]
    assert int(state.protected[0].nonzero()) == model.config.class_slot


@pytest.mark.parametrize("name", TESTS)
def test_patch_slots_find_each_patch(name):
    """Start slot p of `patch_slots` really holds patch p, in raster order."""
    model = create_model(name)
    slots, side = model.patch_slots(), model.config.patch_size
    assert len(slots) == model.grid[0] * model.grid[1]
    images = images_for(model, batch=1)
    before = model.embed(images).tokens
    for row, column in ((0, 0), (0, 3), (2, 1), (3, 3)):
        changed = images.clone()
        changed[:, :, row * side : (row + 1) * side, column * side : (column + 1) * side] += 1
        moved = (model.embed(changed).tokens != before).any(-1)[0].nonzero().flatten()
        assert moved.tolist() == [int(slots[row * model.grid[1] + column])]


@pytest.mark.parametrize("name", TESTS)
def test_zero_removed_is_bit_identical_and_keys_stay(name):
    model = create_model(name)
    images = images_for(model)
    plain, keys = logits(model, images), list(model.state_dict())
    reduce_(model, RMeeTo(r=0))
    assert torch.equal(logits(model, images), plain)
    reduce_(model, RMeeTo(r=2))
    assert list(model.state_dict()) == keys
    assert not torch.equal(logits(model, images), plain)
    restore_(model)
    assert torch.equal(logits(model, images), plain)


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("metric", ["update", "tokens", "b", "c", "delta", "q", "k", "v"])
def test_every_metric_that_the_blocks_leave(name, metric):
    model = create_model(name).eval()
    if metric not in (*model.TAPS, "tokens"):
        with pytest.raises(ConfigError, match="match on"):
            reduce_(model, RMeeTo(r=2, metric=metric))
        return
    reduce_(model, RMeeTo(r=2, metric=metric))
    state = model.forward_features(images_for(model))
    assert state.tokens.shape[1] == model.reduction.schedule.final < model.num_tokens
    assert not torch.equal(state.size, torch.ones_like(state.size))


@pytest.mark.parametrize("name", TESTS)
def test_class_token_is_read_where_it_is(name):
    """Its place after a merge differs between the images; the head must follow it."""
    model = create_model(name).eval()
    reduce_(model, RMeeTo(r=3, metric="tokens"))
    images = images_for(model, batch=8)
    state = model.forward_features(images)
    places = state.protected.nonzero()[:, 1]
    if model.config.class_slot:
        assert len(set(places.tolist())) > 1
    rows = state.tokens[torch.arange(8), places]
    assert torch.equal(model.forward_head(state, pre_logits=True), rows)
    torch.testing.assert_close(model.forward_head(state), model.head(rows))


@pytest.mark.parametrize("name", TESTS)
def test_images_do_not_see_each_other(name):
    model = create_model(name)
    reduce_(model, RMeeTo(r=2))
    images = images_for(model, batch=3)
    together = logits(model, images)
    torch.testing.assert_close(together[1:2], logits(model, images[1:2]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TESTS)
def test_forward_intermediates(name):
    model = create_model(name).eval()
    images = images_for(model)
    every = model.forward_intermediates(images)
    assert len(every) == model.config.depth
    last = model.final_norm(every[-1].tokens)
    torch.testing.assert_close(last, model.forward_features(images).tokens)
    picked = model.forward_intermediates(images, [-1, 0])
    assert torch.equal(picked[0].tokens, every[-1].tokens)
    assert torch.equal(picked[1].tokens, every[0].tokens)
    reduce_(model, RMeeTo(r=2))
    lengths = [state.tokens.shape[1] for state in model.forward_intermediates(images)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == model.reduction.schedule.final
    with pytest.raises(ConfigError, match="layers 0 to 3"):
        model.forward_intermediates(images, [4])


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize(
    "overrides",
    [
        {"img_size": (40, 24)},
        {"img_size": 8},
        {"in_chans": 1},
        {"in_chans": 5},
        {"num_classes": 1},
        {"patch_size": 4},
        {"stride": 4},
        {"embed_dim": 48},
        {"depth": 1},
        {"img_size": (33, 30), "stride": 3},
    ],
    ids=str,
)
def test_any_size(name, overrides):
    model = create_model(name, **overrides)
    images = images_for(model)
    assert logits(model, images).shape == (2, model.num_classes)
    c = model.config
    assert len(c.preprocessing["mean"]) == len(c.preprocessing["std"]) == c.in_chans
    if model.num_tokens > 8:
        reduce_(model, RMeeTo(r=2))
        assert logits(model, images).isfinite().all()


@pytest.mark.parametrize("name", TESTS)
def test_reset_classifier(name):
    model = create_model(name).eval()
    images = images_for(model)
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    model.reset_classifier(3, seed=1)
    assert model(images).shape == (2, 3)
    assert model.num_classes == model.config.num_classes == 3
    twin = create_model(name)
    twin.reset_classifier(3, seed=1)
    assert torch.equal(twin.head.weight, model.head.weight)
    model.reset_classifier(0)
    assert torch.equal(model(images), features)
    bare = create_model(name, num_classes=0)
    assert bare(images).shape == (2, model.num_features)


@pytest.mark.parametrize("name", TESTS)
def test_float64_and_bf16(name):
    model = create_model(name).eval()
    reduce_(model, RMeeTo(r=2))
    images = images_for(model)
    wanted = logits(model, images)
    exact = logits(copy.deepcopy(model).double(), images.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(wanted, exact.float(), rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        state = model.embed(images)
        for site, block in enumerate(model.block_list()):
            state = block(model.reduction(site, state), model.reduction.taps_for(site))
            assert state.tokens.dtype == torch.float32  # the stream is never rounded
            assert all(tap.dtype == torch.bfloat16 for tap in state.taps.values())
        found = logits(model, images)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1)
    half = logits(copy.deepcopy(model).bfloat16(), images.bfloat16())
    torch.testing.assert_close(half, wanted, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", TESTS)
def test_bf16_autocast_gradients_are_finite(name):
    model = create_model(name, drop_path=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(images_for(model))
    out.square().mean().backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.dtype == torch.float32


@pytest.mark.parametrize("name", TESTS)
def test_optimiser_groups(name):
    model = create_model(name)
    names = dict(model.named_parameters())
    assert {"pos_embed", "cls_token"} <= model.no_weight_decay() <= set(names)
    if model.config.family != "vit":
        last = {n.rsplit(".", 1)[-1] for n in model.no_weight_decay()}
        assert last == {"A_log", "A_b_log", "D", "D_b", "pos_embed", "cls_token"}
    import re

    matcher = model.group_matcher()
    patterns = [matcher["stem"], *(pattern for pattern, _ in matcher["blocks"])]
    loose = [n for n in names if not any(re.match(p, n) for p in patterns)]
    assert loose == ["head.weight", "head.bias"]


@pytest.mark.parametrize("name", TESTS)
def test_deep_copies_are_independent(name):
    model = create_model(name, drop_path=0.5)
    reduce_(model, RMeeTo(r=2))
    twin = copy.deepcopy(model)
    images = images_for(model, batch=4)
    assert torch.equal(twin.train()(images), model.train()(images))
    assert twin.drop_path_generator is not model.drop_path_generator
    with torch.no_grad():
        twin.head.weight.add_(1)
    assert not torch.equal(logits(twin, images), logits(model, images))


@pytest.mark.parametrize("name", TESTS)
def test_wrong_images_are_refused(name):
    model = create_model(name)
    for images in (
        torch.zeros(1, 3, 32, 31),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(3, 32, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    ):
        with pytest.raises(ShapeError, match="img_size"):
            model(images)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean .*vim_test"):
        create_model("vim_tets")
    with pytest.raises(ConfigError, match="did you mean embed_dim") as caught:
        create_model("vim_test", embeddim=48)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"drop_path": 1.0}, "drop_path=1.0"),
        ({"img_size": 4}, "img_size=4"),
        ({"d_state": 0}, "d_state=0"),
        ({"init": "best"}, "init"),
        ({"mean": (0.1, 0.2)}, "mean"),
        ({"embed_dim": "48"}, "embed_dim"),
        ({"depth": 0}, "depth=0"),
    ],
)
def test_settings_out_of_range(overrides, named):
    with pytest.raises(ConfigError, match=named):
        create_model("vim_test", **overrides)
    with pytest.raises(ConfigError, match="num_heads"):
        create_model("vit_test", num_heads=5)


def test_list_models_by_pattern():
    assert list_models("vim_*_test") == []
    assert list_models("*_test") == ["videomamba_test", "vim_test", "vit_test"]
    assert "deit_tiny_patch16_224" in list_models()
