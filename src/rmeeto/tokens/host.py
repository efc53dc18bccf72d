"""`Host`: what a model must offer so that its tokens can be reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Host(Protocol):
    """A model with one loop of blocks and a site before some of them; `Backbone` is one."""

    sites: tuple[int, ...]
    """For each layer, the loop block before which its reduction runs; increasing."""
    default_sites: str
    """The `sites` setting that this host uses when the reducer names none."""
    num_tokens: int
    """P: start slots, patches and protected tokens."""
    num_protected: int
    """Class and register tokens."""
    reduction: Any
    """The attached `Reduction`, or None."""

    def block_list(self) -> Sequence[Any]:
        """The blocks of the loop, in the order in which they run."""
        ...

    def tap_width(self, tap: str | None) -> int:
        """Width of the features that a block leaves behind under this name; None: of a token.

        Raises:
            ConfigError: if this model's blocks have no such tap.
        """
        ...

    def flops(
        self,
        tokens: Sequence[int],
        merges: Sequence[tuple[int, int, int]] = (),
        convention: str = "paper",
    ) -> float:
        """Multiply-adds of one image when each block sees that many tokens."""
        ...
