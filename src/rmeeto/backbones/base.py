"""`Backbone`: the contract of every model here, and the one explicit loop over its blocks."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, ShapeError
from ..tokens.reduction import Reduction
from ..tokens.state import TokenState
from . import flops
from .config import BackboneConfig
from .embed import PatchEmbed, insert_slot

if TYPE_CHECKING:
    from .weights import LoadReport

LoopBlock = Callable[[TokenState, frozenset[str]], TokenState]


class Backbone(nn.Module):
    """Images → tokens → blocks, with an optional reduction of tokens before each block.

    A family fills in the blocks and the final norm; everything else is shared. A new instance
    holds no weights yet: `create_model` sets them.

    Args:
        config: all settings; kept, and saved with the model.
    """

    TAPS: frozenset[str] = frozenset({"update"})
    """Features that the blocks can leave behind for matching."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.grid = config.grid
        self.num_features, self.num_classes = config.embed_dim, config.num_classes
        self.num_tokens, self.num_protected = self.grid[0] * self.grid[1] + 1, 1
        self.sites, self.default_sites = tuple(range(config.depth)), config.default_sites
        self.reduction: Reduction | None = None
        self.metadata: dict[str, Any] = {}  # saved beside the weights: class names, provenance
        self.load_report: LoadReport | None = None
        self.drop_path_generator = torch.Generator()
        step = config.stride or config.patch_size
        self.patch_embed = PatchEmbed(config.in_chans, config.embed_dim, config.patch_size, step)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.empty(1, self.num_tokens, config.embed_dim))
        self.head = _head(config.embed_dim, config.num_classes)

    # What a family provides

    def block_list(self) -> Sequence[LoopBlock]:
        """The blocks of the loop, in the order in which they run."""
        raise NotImplementedError

    def final_norm(self, tokens: Tensor) -> Tensor:
        """Norm after the last block."""
        raise NotImplementedError

    def tap_width(self, tap: str | None) -> int:
        """Width of the features that a block leaves behind under this name; None: of a token."""
        if tap is None or tap == "update":
            return self.config.embed_dim
        known = ", ".join(sorted(self.TAPS))
        raise ConfigError(f"features {tap!r} to match on", self.config.name, f"use one of {known}")

    def block_flops(self, index: int, tokens: int, convention: str) -> float:
        """Multiply-adds of loop block ``index`` on that many tokens."""
        raise NotImplementedError

    def init_weights(self, generator: torch.Generator) -> None:
        """Set every parameter from ``generator`` and nothing else."""
        raise NotImplementedError

    # Forward

    def embed(self, images: Tensor) -> TokenState:
        """(B, in_chans, H, W) normalised images → start state of P tokens."""
        self._check_images(images)
        tokens = self.patch_embed(images)
        stream = torch.promote_types(tokens.dtype, torch.float32)
        tokens, cls_token = tokens.to(stream), self.cls_token.to(stream)
        tokens = insert_slot(tokens, cls_token, self.config.class_slot).add_(self.pos_embed)
        slots = torch.arange(self.num_tokens, device=tokens.device)
        return TokenState.begin(tokens, slots == self.config.class_slot)

    def forward_features(self, images: Tensor) -> TokenState:
        """State after the last block, its tokens normed."""
        state, _ = self._run(self.embed(images))
        return replace(state, tokens=self.final_norm(state.tokens))

    def forward_head(self, state: TokenState, pre_logits: bool = False) -> Tensor:
        """Class token → logits.

        Args:
            state: from `forward_features`.
            pre_logits: return the class token (B, C) that the head would see.

        Returns:
            (B, K) fp32, or (B, C); a model without a head returns the latter too.
        """
        # A merge may have moved the class token, to a place of its own in every image.
        slot = state.protected.to(torch.uint8).argmax(1)
        rows = slot[:, None, None].expand(-1, 1, state.tokens.shape[2])
        features = state.tokens.gather(1, rows)[:, 0]
        out = features if pre_logits else self.head(features)
        return out.to(torch.promote_types(out.dtype, torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) → logits (B, K) fp32."""
        return self.forward_head(self.forward_features(images))

    def forward_intermediates(
        self, images: Tensor, indices: Sequence[int] | None = None
    ) -> list[TokenState]:
        """States after the given layers, not normed.

        Args:
            images: (B, in_chans, H, W).
            indices: layers counted from 0, negative from the end; None = all.
        """
        sites = self._ends(indices)
        kept = self._run(self.embed(images), keep=set(sites))[1]
        return [kept[site] for site in sites]

    def forward_layers(
        self, images: Tensor, indices: Sequence[int]
    ) -> tuple[Tensor, list[TokenState]]:
        """Logits (B, K), and the states of `forward_intermediates`, in one pass."""
        sites = self._ends(indices)
        state, kept = self._run(self.embed(images), keep=set(sites))
        state = replace(state, tokens=self.final_norm(state.tokens))
        return self.forward_head(state), [kept[site] for site in sites]

    def _ends(self, indices: Sequence[int] | None) -> list[int]:
        """The last block of each of the given layers."""
        depth = self.config.depth
        layers = range(depth) if indices is None else [i + depth if i < 0 else i for i in indices]
        if not all(0 <= i < depth for i in layers):
            reason = f"{self.config.name} has layers 0 to {depth - 1}"
            raise ConfigError("states after some layers", f"indices={indices}", reason)
        per_layer = len(self.block_list()) // depth
        return [(i + 1) * per_layer - 1 for i in layers]

    def _run(
        self, state: TokenState, keep: Container[int] = ()
    ) -> tuple[TokenState, dict[int, TokenState]]:
        """The loop: reduce before a block where the schedule says so, then the block."""
        kept, reduction, taps = {}, self.reduction, frozenset()
        for site, block in enumerate(self.block_list()):
            if reduction is not None:
                state = reduction(site, state)
                taps = reduction.taps_for(site, state.start)
            state = block(state, taps)
            if site in keep:
                kept[site] = state
        return state, kept

    def _check_images(self, images: Tensor) -> None:
        wanted = (self.config.in_chans, *self.config.image_hw)
        if images.dim() != 4 or tuple(images.shape[1:]) != wanted or not images.is_floating_point():
            raise ShapeError(
                f"float images (B, {', '.join(map(str, wanted))}) for {self.config.name}",
                f"{tuple(images.shape)} {str(images.dtype).removeprefix('torch.')}",
                "resize and normalise them, or create the model with another img_size or in_chans",
            )

    # Everything around it

    def patch_slots(self) -> Tensor:
        """(patches,) int64: start slot of each patch, in raster order."""
        slots = torch.arange(self.num_tokens)
        return slots[slots != self.config.class_slot]

    def reset_classifier(self, num_classes: int, seed: int = 0) -> None:
        """Replace the head by a new one for ``num_classes`` outputs; 0 takes it off."""
        self.config = replace(self.config, num_classes=num_classes)
        self.num_classes = num_classes
        head = _head(self.num_features, num_classes)
        if isinstance(head, nn.Linear) and not self.cls_token.is_meta:
            head.to_empty(device="cpu")
            nn.init.trunc_normal_(head.weight, std=0.02, generator=seeded(seed))
            nn.init.zeros_(head.bias)
            head.to(self.cls_token)
        self.head = head

    def seed_drop_path(self, seed: int) -> None:
        """Restart the stream that decides which updates are dropped while training."""
        self.drop_path_generator.manual_seed(seed)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that the optimiser should not decay."""
        return {"pos_embed", "cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that sort the parameters by depth (timm's layer-decay convention)."""
        layers = r"^(?:layers|blocks)\.(\d+)"
        last = (r"^(?:norm|norm_f)\.", (99999,))
        return {
            "stem": r"^(?:cls_token|pos_embed|patch_embed)",
            "blocks": layers if coarse else [(layers, None), last],
        }

    def flops(
        self,
        tokens: Sequence[int],
        merges: Sequence[tuple[int, int, int]] = (),
        convention: str = "paper",
    ) -> float:
        """Multiply-adds of one image; see `rmeeto.backbones.flops` for every term.

        Args:
            tokens: tokens that each loop block sees.
            merges: (tokens before, removed, feature width) of every site that reduces.
            convention: "paper" (published counts: one scan direction) or "full" (both).
        """
        flops.check_convention(convention)
        if len(tokens) != len(self.block_list()):
            blocks = f"{len(self.block_list())} token counts, one for each loop block"
            raise ConfigError(blocks, f"{len(tokens)}", "use schedule.tokens()")
        patch = self.config.in_chans * self.config.patch_size**2
        total = flops.linear(self.num_tokens, patch, self.num_features)
        total += flops.linear(1, self.num_features, self.num_classes)
        total += sum(self.block_flops(i, n, convention) for i, n in enumerate(tokens))
        return total + sum(flops.merge(*step) for step in merges)


def seeded(seed: int) -> torch.Generator:
    """A CPU generator of its own."""
    return torch.Generator().manual_seed(seed)


def _head(features: int, classes: int) -> nn.Module:
    # On the meta device the layer's own initialisation draws nothing from the global generator.
    return nn.Linear(features, classes, device="meta") if classes else nn.Identity()
