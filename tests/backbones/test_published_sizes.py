"""Parameters, state-dict keys and shapes are those of the published checkpoints."""

import pytest
import torch

from rmeeto import create_model

SIZES = {
    "vim_tiny_patch16_224": (7_148_008, 415),
    "vim_small_patch16_224": (25_796_584, 415),
    "vim_base_patch16_224": (97_598_440, 415),
    "vim_tiny_patch16_stride8_224": (7_250_344, 415),
    "vim_small_patch16_stride8_224": (26_001_256, 415),
    "videomamba_tiny_patch16_224": (7_148_008, 415),
    "videomamba_small_patch16_224": (25_796_584, 415),
    "videomamba_middle_patch16_224": (74_217_448, 551),
    "videomamba_base_patch16_224": (97_598_440, 415),
    "deit_tiny_patch16_224": (5_717_416, 152),
    "deit_small_patch16_224": (22_050_664, 152),
    "deit_base_patch16_224": (86_567_656, 152),
}


def shapes(name, **overrides):
    with torch.device("meta"):
        model = create_model(name, **overrides)
    return {k: tuple(v.shape) for k, v in model.state_dict().items()}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_parameters_and_keys(name):
    with torch.device("meta"):
        model = create_model(name)
    parameters, keys = SIZES[name]
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == keys
    assert not list(model.buffers())


@pytest.mark.parametrize(
    ("name", "c", "r"),
    [("tiny", 192, 12), ("small", 384, 24), ("base", 768, 48)],
)
def test_vim_layer_shapes(name, c, r):
    d, s = 2 * c, 16
    layer = {
        "norm.weight": (c,),
        "mixer.in_proj.weight": (2 * d, c),
        "mixer.out_proj.weight": (c, d),
        "mixer.A_log": (d, s),
        "mixer.A_b_log": (d, s),
    }
    for suffix in ("", "_b"):
        layer |= {
            f"mixer.conv1d{suffix}.weight": (d, 1, 4),
            f"mixer.conv1d{suffix}.bias": (d,),
            f"mixer.x_proj{suffix}.weight": (r + 2 * s, d),
            f"mixer.dt_proj{suffix}.weight": (d, r),
            f"mixer.dt_proj{suffix}.bias": (d,),
            f"mixer.D{suffix}": (d,),
        }
    wanted = {f"layers.{i}.{key}": shape for i in range(24) for key, shape in layer.items()}
    wanted |= {
        "cls_token": (1, 1, c),
        "pos_embed": (1, 197, c),
        "patch_embed.proj.weight": (c, 3, 16, 16),
        "patch_embed.proj.bias": (c,),
        "norm_f.weight": (c,),
        "head.weight": (1000, c),
        "head.bias": (1000,),
    }
    assert shapes(f"vim_{name}_patch16_224") == wanted
    assert shapes(f"videomamba_{name}_patch16_224") == wanted


def test_deit_keys():
    found = shapes("deit_tiny_patch16_224")
    assert found["blocks.11.attn.qkv.weight"] == (576, 192)
    assert found["blocks.0.mlp.fc1.bias"] == (768,)
    assert {k.split(".")[0] for k in found} == {
        "cls_token", "pos_embed", "patch_embed", "blocks", "norm", "head",
    }  # fmt: skip
    assert sorted(k for k in found if k.startswith("blocks.3.")) == sorted(
        f"blocks.3.{layer}.{kind}"
        for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    )


@pytest.mark.parametrize(
    ("name", "tokens", "slot"),
    [
        ("vim_tiny_patch16_224", 197, 98),
        ("vim_tiny_patch16_stride8_224", 730, 364),
        ("videomamba_tiny_patch16_224", 197, 0),
        ("deit_tiny_patch16_224", 197, 0),
        ("vim_micro_patch2_28", 197, 98),
        ("vim_micro_patch4_32", 65, 32),
    ],
)
def test_tokens_and_class_slot(name, tokens, slot):
    with torch.device("meta"):
        model = create_model(name)
    assert (model.num_tokens, model.config.class_slot) == (tokens, slot)
    assert model.pos_embed.shape[1] == tokens
