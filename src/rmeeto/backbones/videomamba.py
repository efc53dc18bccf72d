"""VideoMamba's image models: Vim's blocks, class token first, directions summed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from .registry import BACKBONES
from .vim import Vim, VimConfig


@dataclass(frozen=True)
class VideoMambaConfig(VimConfig):
    """Settings of VideoMamba for images."""

    family: ClassVar[str] = "videomamba"
    class_token: ClassVar[Literal["middle", "first"]] = "first"
    average: ClassVar[bool] = False

    def build(self) -> VideoMamba:
        return VideoMamba(self)


class VideoMamba(Vim):
    """VideoMamba for images, with the published parameter names (Vim's).

    Source: Li et al. 2024 (arXiv 2403.06977), §3.2, single-frame models.
    """


_SIZES = {"tiny": (192, 24), "small": (384, 24), "middle": (576, 32), "base": (768, 24)}
for _size, (_width, _depth) in _SIZES.items():
    _name = f"videomamba_{_size}_patch16_224"
    BACKBONES.add(_name, VideoMambaConfig(_name, embed_dim=_width, depth=_depth))
BACKBONES.add("videomamba_test", VideoMambaConfig(
    "videomamba_test", img_size=32, patch_size=8, embed_dim=32, depth=4, d_state=8,
    num_classes=10, default_sites="all", crop_pct=1.0,
))  # fmt: skip
