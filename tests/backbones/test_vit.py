"""The vision transformer against one of torch's own parts, and proportional attention."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rmeeto import RMeeTo, create_model, reduce_
from rmeeto.backbones.vit import attend


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def model():
    model = create_model("vit_test", num_classes=7).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(noise, alpha=0.1)
    return model


def evaluate(model, images):
    """Logits by `nn.MultiheadAttention` and friends from the same state dict."""
    p, width, heads = model.state_dict(), model.num_features, model.config.num_heads
    tokens = F.conv2d(images, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=8)
    tokens = tokens.flatten(2).mT
    tokens = torch.cat([p["cls_token"].expand(len(images), 1, width), tokens], 1) + p["pos_embed"]

    def norm(x, name):
        return F.layer_norm(x, (width,), p[f"{name}.weight"], p[f"{name}.bias"], eps=1e-6)

    for i in range(model.config.depth):
        attention = nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
        b = f"blocks.{i}"
        attention.load_state_dict({
            "in_proj_weight": p[f"{b}.attn.qkv.weight"], "in_proj_bias": p[f"{b}.attn.qkv.bias"],
            "out_proj.weight": p[f"{b}.attn.proj.weight"],
            "out_proj.bias": p[f"{b}.attn.proj.bias"],
        })  # fmt: skip
        x = norm(tokens, f"{b}.norm1")
        tokens = tokens + attention(x, x, x, need_weights=False)[0]
        hidden = F.linear(
            norm(tokens, f"{b}.norm2"), p[f"{b}.mlp.fc1.weight"], p[f"{b}.mlp.fc1.bias"]
        )
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        tokens = tokens + F.linear(hidden, p[f"{b}.mlp.fc2.weight"], p[f"{b}.mlp.fc2.bias"])
    return F.linear(norm(tokens, "norm")[:, 0], p["head.weight"], p["head.bias"])


def test_logits(model, images):
    with torch.no_grad():
        wanted = evaluate(model, images.double())
        torch.testing.assert_close(model(images.double()), wanted, rtol=1e-10, atol=1e-12)
        found = model.float()(images)
    torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-5)


def test_taps_are_head_means(model, images):
    state = model.embed(images.double())
    after = model.block_list()[0](state, frozenset({"q", "k", "v", "update"}))
    layer = model.blocks[0]
    q, k, v = layer.attn.qkv(layer.norm1(state.tokens)).chunk(3, dim=-1)
    for tap, wanted in {"q": q, "k": k, "v": v}.items():
        heads = wanted.unflatten(2, (model.config.num_heads, -1))
        torch.testing.assert_close(after.taps[tap], heads.mean(2))
        assert after.taps[tap].shape[2] == model.tap_width(tap)
    torch.testing.assert_close(state.tokens + after.taps["update"], after.tokens)


def test_proportional_attention_counts_a_token_as_often_as_it_stands_for(model):
    """Two equal tokens in place of one of size 2 change nothing for the others."""
    attention = model.blocks[0].attn
    attention.proportional = True
    tokens = torch.randn(1, 4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    doubled = torch.cat([tokens, tokens[:, :1]], dim=1)
    alone, _ = attention(tokens, torch.tensor([[2.0, 1, 1, 1]]))
    twice, _ = attention(doubled, torch.ones(1, 5))
    torch.testing.assert_close(alone, twice[:, :4])
    attention.proportional = False
    assert not torch.allclose(attention(tokens, torch.tensor([[2.0, 1, 1, 1]]))[0], alone)


def test_proportional_attention_is_an_option_of_the_model(images):
    plain = create_model("vit_test").eval()
    weighted = create_model("vit_test", proportional_attention=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(images), weighted(images), rtol=1e-5, atol=1e-6)
        for model in (plain, weighted):
            reduce_(model, RMeeTo(r=3))
        assert not torch.equal(plain(images), weighted(images))


def test_sites_lie_between_attention_and_mlp(model):
    assert model.sites == (1, 3, 5, 7)
    names = [block.__name__ for block in model.block_list()]
    assert names == ["attend", "feed"] * 4


@pytest.mark.parametrize("tokens", [1, 7, 65])
@pytest.mark.parametrize("weighted", [False, True])
def test_attention_in_half_precision_is_the_same_with_and_without_a_gradient(tokens, weighted):
    draw = torch.Generator().manual_seed(0)
    exact = [torch.randn(2, 3, tokens, 8, generator=draw, dtype=torch.float64) for _ in range(4)]
    bias = torch.arange(1.0, tokens + 1, dtype=torch.float64).log().expand(2, 1, 1, tokens) if weighted else None
    found = []
    for dtype in (torch.float64, torch.bfloat16):  # the fused way and the plain products
        q, k, v = (x.to(dtype, copy=True).requires_grad_() for x in exact[:3])
        mixed = attend(q, k, v, None if bias is None else bias.to(dtype))
        mixed.backward(exact[3].to(dtype))
        found.append([x.double() for x in (mixed.detach(), q.grad, k.grad, v.grad)])
    for wanted, got in zip(*found, strict=True):
        assert (wanted - got).abs().max() <= 0.03 * max(1.0, float(wanted.abs().max()))
