"""Vision transformers (DeiT): the control whose tokens have no order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tokens.state import TokenState
from . import flops
from .base import Backbone, LoopBlock
from .blocks import NO_TAPS, DropPath, Linear, compute_dtype, residual_step
from .config import BackboneConfig
from .init import drop_path_rates, init_head_and_embedding
from .registry import BACKBONES


@dataclass(frozen=True)
class ViTConfig(BackboneConfig):
    """Settings of a vision transformer."""

    family: ClassVar[str] = "vit"

    depth: int = 12
    crop_pct: float = 0.875
    num_heads: int = 3
    """attention heads; must divide embed_dim"""
    mlp_ratio: float = 4.0
    """hidden width of the feed-forward half, in embed_dim"""
    proportional_attention: bool = False
    """let a merged token count as often as the patches it stands for (log size on the keys)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.num_heads >= 1 and self.embed_dim % self.num_heads == 0
        self._require(fits, "num_heads", f"use a divisor of embed_dim={self.embed_dim}")
        self._require(self.mlp_ratio > 0, "mlp_ratio", "use more than 0")

    @property
    def mlp_width(self) -> int:
        """Hidden channels of the feed-forward half."""
        return int(self.embed_dim * self.mlp_ratio)

    def build(self) -> ViT:
        return ViT(self)


class LayerNorm(nn.LayerNorm):
    """Layer norm over the channels, eps 1e-6, statistics in fp32, answers in the compute type."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        weight, bias = self.weight.to(tokens.dtype), self.bias.to(tokens.dtype)
        normed = F.layer_norm(tokens, self.normalized_shape, weight, bias, self.eps)
        return normed.to(compute_dtype(self.weight))


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """softmax(QKᵀ/√d + bias) V of (B, heads, N, d), bias (B, 1, 1, N) or None.

    On a CPU in half precision, where a gradient is wanted, by plain products: torch's fused backward
    takes several times as long there, at the lengths and widths of heads that we train.
    """
    if q.device.type != "cpu" or q.dtype not in (torch.bfloat16, torch.float16) or not q.requires_grad:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    with torch.autocast("cpu", enabled=False):  # which would keep the weights in fp32: twice the traffic
        return torch.softmax(scores if bias is None else scores + bias, -1) @ v


class Attention(nn.Module):
    """softmax(QKᵀ/√d + log size) V over all tokens, in heads.

    Args:
        dim: C.
        num_heads: must divide C.
        proportional: add the log of the token sizes to the scores.

    Source: Vaswani et al. 2017, §3.2; proportional attention: Bolya et al. 2023 (ToMe), eq. 1.
    """

    TAPS = frozenset({"q", "k", "v"})

    def __init__(self, dim: int, num_heads: int, proportional: bool) -> None:
        super().__init__()
        self.num_heads, self.proportional = num_heads, proportional
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(
        self, tokens: Tensor, size: Tensor, taps: frozenset[str] = NO_TAPS
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mix (B, N, C) tokens of (B, N) sizes; taps "q", "k", "v" are (B, N, d) head means."""
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = size.log().to(q.dtype)[:, None, None] if self.proportional else None
        mixed = attend(q, k, v, bias)
        features = {"q": q, "k": k, "v": v}
        left = {name: value.mean(1) for name, value in features.items() if name in taps}
        return self.proj(mixed.transpose(1, 2).flatten(2)), left


class Mlp(nn.Module):
    """W₂·GELU(W₁·x).

    Args:
        dim: C.
        hidden: width in between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = Linear(dim, hidden), Linear(hidden, dim)

    def forward(
        self, tokens: Tensor, size: Tensor | None = None, taps: frozenset[str] = NO_TAPS
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, N, C) → (B, N, C) and no features; each token by itself, whatever its size."""
        return self.fc2(F.gelu(self.fc1(tokens))), {}


class ViTLayer(nn.Module):
    """Two loop blocks under one published name: `attend`, then `feed`; a site lies between them.

    Args:
        config: of the model.
        drop_path: stochastic depth of both updates.
    """

    def __init__(self, config: ViTConfig, drop_path: DropPath) -> None:
        super().__init__()
        width = config.embed_dim
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attn = Attention(width, config.num_heads, config.proportional_attention)
        self.mlp = Mlp(width, config.mlp_width)
        self.drop_path = drop_path

    def attend(self, state: TokenState, taps: frozenset[str] = NO_TAPS) -> TokenState:
        """tokens + attention(norm(tokens))."""
        return residual_step(state, self.norm1, self.attn, self.drop_path, taps)

    def feed(self, state: TokenState, taps: frozenset[str] = NO_TAPS) -> TokenState:
        """tokens + mlp(norm(tokens))."""
        return residual_step(state, self.norm2, self.mlp, self.drop_path, taps)


class ViT(Backbone):
    """Vision transformer with timm's and DeiT's parameter names; class token first.

    Source: Touvron et al. 2021 (arXiv 2012.12877), table 1, without the distillation token.
    """

    TAPS = Backbone.TAPS | Attention.TAPS
    config: ViTConfig

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config)
        self.sites = tuple(range(1, 2 * config.depth, 2))
        rates = drop_path_rates(config.drop_path, config.depth)
        drops = [DropPath(rate, self.drop_path_generator) for rate in rates]
        self.blocks = nn.ModuleList(ViTLayer(config, drop) for drop in drops)
        self.norm = LayerNorm(config.embed_dim)

    def block_list(self) -> Sequence[LoopBlock]:
        layers = cast(list[ViTLayer], list(self.blocks))
        return [half for layer in layers for half in (layer.attend, layer.feed)]

    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens)

    def tap_width(self, tap: str | None) -> int:
        if tap in Attention.TAPS:
            return self.config.embed_dim // self.config.num_heads
        return super().tap_width(tap)

    def block_flops(self, index: int, tokens: int, convention: str) -> float:
        if index % 2 == 0:
            return flops.attention(tokens, self.num_features)
        return flops.mlp(tokens, self.num_features, self.config.mlp_width)

    def init_weights(self, generator: torch.Generator) -> None:
        init_head_and_embedding(self, generator)
        for module in self.modules():
            if isinstance(module, LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                nn.init.zeros_(module.bias)


for _size, _width, _heads in (("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12)):
    _name = f"deit_{_size}_patch16_224"
    BACKBONES.add(_name, ViTConfig(_name, embed_dim=_width, num_heads=_heads))
_MICRO = {"depth": 6, "num_heads": 4, "num_classes": 10, "crop_pct": 1.0}
BACKBONES.add("vit_micro_patch2_28", ViTConfig(
    "vit_micro_patch2_28", img_size=28, patch_size=2, in_chans=1, embed_dim=64,
    mean=(0.286,), std=(0.353,), **_MICRO,
))  # fmt: skip
BACKBONES.add("vit_micro_patch4_32", ViTConfig(
    "vit_micro_patch4_32", img_size=32, patch_size=4, embed_dim=96, **_MICRO,
))  # fmt: skip
BACKBONES.add("vit_test", ViTConfig(
    "vit_test", img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=4, num_classes=10,
    crop_pct=1.0,
))  # fmt: skip
