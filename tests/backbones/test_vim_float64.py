"""Vision Mamba against an evaluation written from its formulas, one token at a time, in float64."""

import numpy as np
import pytest
import torch

from rmeeto import create_model

MODELS = ["vim_test", "videomamba_test"]


def silu(x):
    return x / (1 + np.exp(-x))


def rms(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def one_way(p, x, z, suffix):
    """One scan direction over x, z (L, D), already in scan order: y and the raw projections."""
    taps, bias = p[f"conv1d{suffix}.weight"][:, 0], p[f"conv1d{suffix}.bias"]
    padded = np.concatenate([np.zeros((3, x.shape[1])), x])
    u = silu(np.stack([(padded[t : t + 4].T * taps).sum(1) for t in range(len(x))]) + bias)
    rank = p[f"dt_proj{suffix}.weight"].shape[1]
    states = p[f"A{suffix}_log"].shape[1]
    projected = u @ p[f"x_proj{suffix}.weight"].T
    dt, b, c = np.split(projected, [rank, rank + states], axis=1)
    raw_delta = dt @ p[f"dt_proj{suffix}.weight"].T
    delta = np.log1p(np.exp(raw_delta + p[f"dt_proj{suffix}.bias"]))
    decay = -np.exp(p[f"A{suffix}_log"])
    state, out = np.zeros_like(decay), []
    for t in range(len(x)):
        state = np.exp(delta[t][:, None] * decay) * state + np.outer(delta[t] * u[t], b[t])
        out.append((state @ c[t] + p[f"D{suffix}"] * u[t]) * silu(z[t]))
    return {"mixer_out": np.stack(out), "b": b, "c": c, "delta": raw_delta}


def mixer(p, tokens, scale):
    x, z = np.split(tokens @ p["in_proj.weight"].T, 2, axis=1)
    ahead, back = one_way(p, x, z, ""), one_way(p, x[::-1], z[::-1], "_b")
    both = {key: scale * (ahead[key] + back[key][::-1]) for key in ahead}
    return both["mixer_out"] @ p["out_proj.weight"].T, both


def evaluate(model, image):
    """Logits of one image and, for each layer, what the mixer left behind."""
    p = {k: v.detach().double().numpy() for k, v in model.state_dict().items()}
    kernel, side = p["patch_embed.proj.weight"], model.config.patch_size
    rows, columns = model.grid
    patches = [
        (kernel * image[:, i * side : (i + 1) * side, j * side : (j + 1) * side]).sum((1, 2, 3))
        for i in range(rows) for j in range(columns)
    ]  # fmt: skip
    patches = np.stack(patches) + p["patch_embed.proj.bias"]
    vim = model.config.family == "vim"
    slot = len(patches) // 2 if vim else 0
    tokens = np.insert(patches, slot, p["cls_token"][0, 0], axis=0) + p["pos_embed"][0]
    left = []
    for i in range(model.config.depth):
        layer = f"layers.{i}.mixer."
        mine = {k.removeprefix(layer): v for k, v in p.items() if k.startswith(layer)}
        update, features = mixer(mine, rms(tokens, p[f"layers.{i}.norm.weight"]), 0.5 if vim else 1)
        left.append({"update": update, **features})
        tokens = tokens + update
    return rms(tokens, p["norm_f.weight"])[slot] @ p["head.weight"].T + p["head.bias"], left


@pytest.fixture(params=MODELS)
def model(request):
    """A model whose every parameter, norms and skips too, is away from its initial value."""
    model = create_model(request.param, num_classes=7)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shift = 0.02 if name.endswith("log") else 0.1
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=shift)
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def close(found, wanted, tolerance):
    return np.linalg.norm(found - wanted) <= tolerance * np.linalg.norm(wanted)


def test_logits(model, images):
    wanted = np.stack([evaluate(model, image.double().numpy())[0] for image in images])
    with torch.no_grad():
        assert close(model(images).numpy(), wanted, 1e-5)
        assert close(model.double()(images.double()).numpy(), wanted, 1e-12)


def test_taps(model, images):
    taps = model.TAPS
    assert taps == {"update", "b", "c", "delta", "mixer_out"}
    wanted = [evaluate(model, image.double().numpy())[1] for image in images]
    state = model.embed(images)
    for i, block in enumerate(model.block_list()):
        state = block(state, taps)
        assert set(state.taps) == taps
        for tap, value in state.taps.items():
            assert value.shape[2] == model.tap_width(tap)
            assert not value.requires_grad
            assert close(value.numpy(), np.stack([w[i][tap] for w in wanted]), 2e-5), (i, tap)


def test_taps_are_off_by_default(model, images):
    state = model.block_list()[0](model.embed(images))
    assert dict(state.taps) == {}


def parameters_that_matter(model):
    """All but one: the last forward scan ends where VideoMamba's leading class token is read."""
    exempt = {"layers.3.mixer.A_log"} if model.config.class_slot == 0 else set()
    return {name: p for name, p in model.named_parameters() if name not in exempt}


def test_every_parameter_matters(model, images):
    """No direction is lost: shifting any parameter of any layer changes the logits."""
    model, images = model.double(), images.double()
    with torch.no_grad():
        before = model(images)
        for name, parameter in parameters_that_matter(model).items():
            kept = parameter.clone()
            # Not a constant shift: the norms after it might take that out.
            parameter.add_(torch.linspace(0.1, 0.5, kept.numel()).view_as(kept))
            assert (model(images) - before).abs().max() > 1e-8, name  # rounding is below 1e-14
            parameter.copy_(kept)


def test_every_parameter_gets_a_gradient(model, images):
    model(images).square().sum().backward()
    for name, parameter in parameters_that_matter(model).items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
