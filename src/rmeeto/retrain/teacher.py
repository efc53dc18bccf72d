"""The unreduced model that a reduced one is distilled from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .feed import Views


class Teacher:
    """Logits of a frozen model in evaluation mode, remembered by view if asked to.

    A remembered row is found by (image, view seed, mix seed), so only by the very image it was
    computed from. Rows are kept in fp16 on the model's device (2·K bytes a view) and rounded to it
    when new as well, so a resumed run, which starts with nothing remembered, gets the same numbers.

    Args:
        model: any model with logits (B, K); put into evaluation mode.
        remember: keep the logits; of use when views repeat (`Recipe.views`).
    """

    def __init__(self, model: nn.Module, remember: bool = False) -> None:
        self.model = model.eval()
        self.computed = 0  # images that went through the model
        self._rows: dict[tuple[int, ...], Tensor] | None = {} if remember else None

    @torch.no_grad()
    def __call__(self, views: Views) -> Tensor:
        """Logits (B, K) in fp32; call it inside the autocast that the student runs in."""
        if self._rows is None:
            return self._compute(views)
        keys = [tuple(key) for key in views.keys.tolist()]
        # One unknown row recomputes the batch: a row's last bits may depend on the batch's size.
        if any(key not in self._rows for key in keys):
            self._rows.update(zip(keys, self._compute(views).half(), strict=True))
        return torch.stack([self._rows[key].float() for key in keys])  # bf16 autocast refuses fp16

    def _compute(self, views: Views) -> Tensor:
        self.computed += len(views)
        return self.model(views.images).float()
