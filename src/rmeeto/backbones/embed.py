"""Images to tokens: the patch projection, and resizing what depends on the grid or the channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import plain


class PatchEmbed(nn.Module):
    """Project square patches of the image to C channels, in raster order.

    Args:
        in_chans: image channels.
        embed_dim: C.
        patch_size: side of a patch in pixels.
        stride: pixels between patches; less than ``patch_size`` makes them overlap.

    Source: Dosovitskiy et al. 2021 (ViT), §3.1; no padding and no norm, as in Vim.
    """

    def __init__(self, in_chans: int, embed_dim: int, patch_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) → (B, patches, C)."""
        proj, side = self.proj, self.proj.kernel_size[0]
        if proj.stride != proj.kernel_size or type(proj) is not nn.Conv2d or not plain(proj):
            return proj(images).flatten(2).transpose(1, 2)
        # Patches that do not overlap are rows of one product, which leaves tokens side by side.
        return F.linear(_patches(images, side), proj.weight.flatten(1), proj.bias)


def _patches(images: Tensor, side: int) -> Tensor:
    """(B, C, H, W) → (B, patches, C·side²) in raster order; what fills no patch is left out."""
    batch, channels, high, wide = images.shape
    rows, columns = high // side, wide // side
    whole = images[:, :, : rows * side, : columns * side]
    grid = whole.reshape(batch, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
    return grid.reshape(batch, rows * columns, channels * side * side)


def insert_slot(tokens: Tensor, extra: Tensor, slot: int) -> Tensor:
    """Put ``extra`` (B or 1, 1, C) before index ``slot`` of ``tokens`` (B, M, C)."""
    extra = extra.expand(tokens.shape[0], -1, -1)
    return torch.cat((tokens[:, :slot], extra, tokens[:, slot:]), dim=1)


def resize_pos_embed(
    pos_embed: Tensor,
    slots: tuple[int, int],
    grids: tuple[tuple[int, int], tuple[int, int]],
) -> Tensor:
    """Resample a learned position embedding to another grid; the class token's row is kept as is.

    The class row is taken out at the old slot and put back at the new one, so a class token in
    the middle of the sequence is not mistaken for a patch. Bicubic, with antialiasing only when
    a side shrinks: enlarging is plain bicubic interpolation, shrinking does not alias.

    Args:
        pos_embed: (1, M + 1, C).
        slots: index of the class row now and afterwards.
        grids: rows and columns of patches now and afterwards.

    Returns:
        (1, M' + 1, C) in the type of ``pos_embed``.

    Source: Dosovitskiy et al. 2021, §3.2 (fine-tuning at a higher resolution);
    differs in: the class row may be anywhere.
    """
    (old_slot, new_slot), (old, new) = slots, grids
    class_row = pos_embed[:, old_slot : old_slot + 1]
    patches = torch.cat((pos_embed[:, :old_slot], pos_embed[:, old_slot + 1 :]), dim=1)
    if old != new:
        patches = _resample(patches, old, new)
    return insert_slot(patches, class_row, new_slot)


def _resample(patches: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    image = patches.reshape(1, *old, -1).permute(0, 3, 1, 2)
    wide = image.double() if image.dtype == torch.float64 else image.float()
    shrinks = new[0] < old[0] or new[1] < old[1]
    resized = F.interpolate(wide, new, mode="bicubic", align_corners=False, antialias=shrinks)
    return resized.permute(0, 2, 3, 1).reshape(1, new[0] * new[1], -1).to(patches.dtype)


def convert_channels(weight: Tensor, in_chans: int) -> Tensor:
    """Patch kernel (C, old, p, p) for images of another channel count.

    To one channel the kernels are summed, so a grey image answers as its colour copy did.
    Otherwise they are repeated in turn and scaled by old / new: from one channel exactly, else
    about, an image that is equal in all channels keeps its response.
    """
    old = weight.shape[1]
    if in_chans == old:
        return weight
    if in_chans == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(in_chans) % old] * (old / in_chans)
