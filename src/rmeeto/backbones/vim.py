"""Vision Mamba (Vim): a plain sequence of two-way scan blocks, class token in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from . import flops
from .base import Backbone, LoopBlock
from .blocks import DropPath, MixerBlock, RMSNorm
from .config import BackboneConfig
from .init import drop_path_rates, init_head_and_embedding, init_mamba
from .mixers import BidirectionalMamba
from .registry import BACKBONES


@dataclass(frozen=True)
class VimConfig(BackboneConfig):
    """Settings of Vision Mamba."""

    family: ClassVar[str] = "vim"
    class_token: ClassVar[Literal["middle", "first"]] = "middle"
    average: ClassVar[bool] = True

    default_sites: str = "even"
    crop_pct: float = 0.875
    d_state: int = 16
    """states S a channel of the scan"""
    init: Literal["upstream", "balanced"] = "upstream"
    """"upstream" starts the backward step sizes near 0.7, as published; "balanced" starts both
    directions alike"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(1 <= self.d_state <= 256, "d_state", "use 1 to 256")
        self._require(self.init in ("upstream", "balanced"), "init", "use upstream or balanced")

    def build(self) -> Vim:
        return Vim(self)


class Vim(Backbone):
    """Vision Mamba with the published parameter names.

    Source: Zhu et al. 2024 (arXiv 2401.09417), figure 2 and algorithm 1, "midclstok" models.
    """

    TAPS = Backbone.TAPS | BidirectionalMamba.TAPS
    config: VimConfig

    def __init__(self, config: VimConfig) -> None:
        super().__init__(config)
        rates = drop_path_rates(config.drop_path, config.depth)
        self.layers = nn.ModuleList(self._layer(rate) for rate in rates)
        self.norm_f = RMSNorm(config.embed_dim)

    def _layer(self, rate: float) -> MixerBlock:
        width, settings = self.config.embed_dim, self.config
        mixer = BidirectionalMamba(width, settings.d_state, settings.average)
        return MixerBlock(RMSNorm(width), mixer, DropPath(rate, self.drop_path_generator))

    def block_list(self) -> Sequence[LoopBlock]:
        return cast(list[MixerBlock], list(self.layers))

    def final_norm(self, tokens: Tensor) -> Tensor:
        return self.norm_f(tokens)

    def tap_width(self, tap: str | None) -> int:
        if tap in ("b", "c"):
            return self.config.d_state
        if tap in ("delta", "mixer_out"):
            return BidirectionalMamba.EXPAND * self.config.embed_dim
        return super().tap_width(tap)

    def block_flops(self, index: int, tokens: int, convention: str) -> float:
        rank = BidirectionalMamba.dt_rank_of(self.num_features)
        return flops.mamba(tokens, self.num_features, self.config.d_state, rank, convention)

    def no_weight_decay(self) -> set[str]:
        scan = ("A_log", "A_b_log", "D", "D_b")
        names = {name for name, _ in self.named_parameters() if name.rsplit(".", 1)[-1] in scan}
        return names | super().no_weight_decay()

    def init_weights(self, generator: torch.Generator) -> None:
        init_head_and_embedding(self, generator)
        for module in self.modules():
            if isinstance(module, RMSNorm):
                nn.init.ones_(module.weight)
            elif isinstance(module, BidirectionalMamba):
                init_mamba(module, self.config, generator)


_WIDTHS = {"tiny": 192, "small": 384, "base": 768}
for _size, _width in _WIDTHS.items():
    _name = f"vim_{_size}_patch16_224"
    BACKBONES.add(_name, VimConfig(_name, embed_dim=_width))
for _size in ("tiny", "small"):
    _name = f"vim_{_size}_patch16_stride8_224"
    BACKBONES.add(_name, VimConfig(_name, embed_dim=_WIDTHS[_size], stride=8))
# Balanced: with upstream's start (Δ near 0.7) the backward scan forgets within a few tokens, which a
# class token in the middle of 197 can ill afford when a small model is trained from nothing.
_MICRO = {
    "depth": 12, "d_state": 8, "num_classes": 10, "default_sites": "all", "crop_pct": 1.0,
    "init": "balanced",
}  # fmt: skip
BACKBONES.add("vim_micro_patch2_28", VimConfig(
    "vim_micro_patch2_28", img_size=28, patch_size=2, in_chans=1, embed_dim=64,
    mean=(0.286,), std=(0.353,), **_MICRO,
))  # fmt: skip
BACKBONES.add("vim_micro_patch4_stride2_28", VimConfig(
    "vim_micro_patch4_stride2_28", img_size=28, patch_size=4, stride=2, in_chans=1, embed_dim=64,
    mean=(0.286,), std=(0.353,), **_MICRO,
))  # fmt: skip
BACKBONES.add("vim_micro_patch4_32", VimConfig(
    "vim_micro_patch4_32", img_size=32, patch_size=4, embed_dim=96, **_MICRO,
))  # fmt: skip
BACKBONES.add("vim_test", VimConfig(
    "vim_test", img_size=32, patch_size=8, embed_dim=32, depth=4, d_state=8, num_classes=10,
    default_sites="all", crop_pct=1.0,
))  # fmt: skip
