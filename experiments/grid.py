"""Every cell of the committed results."""

from __future__ import annotations

from experiments.cells import Cell, cifar_cells, fashion8_cells, fashion_cells
from experiments.outlier_cells import outlier_cells


def all_cells() -> list[Cell]:
    """All of them, in the order in which to run them."""
    return [*fashion_cells(), *fashion8_cells(), *cifar_cells(), *outlier_cells()]
