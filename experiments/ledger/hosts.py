"""Which models and ratios stand for the paper's on each data set."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.cells import EARLY_RS, EXTREME_R


@dataclass(frozen=True)
class Timed:
    """A host whose merged and re-trained settings were timed."""

    key: str
    name: str
    vim: str
    early: tuple[int, ...]
    """merged at one early site by the state input B, timed and re-trained"""

    @property
    def fast(self) -> tuple[str, ...]:
        """Labels of what was timed and re-trained."""
        return tuple(f"early_r{r}" for r in self.early)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class DataSet(Timed):
    """One data set's hosts and the tokens removed at a site for each of the paper's settings."""

    vit: str
    smaller: tuple[str, ...]
    """unreduced siblings, for the size line; none: it is drawn on the other data set"""
    sweep: tuple[int, ...]
    """evenly spaced, for monotone and accelerating"""
    main: int
    """reduction ratio near .31, the paper's for Vim-S and Vim-B"""
    mid: int
    """reduction ratio .42, where the paper compares with pruning and with ViT"""
    high: int
    """the paper's largest ratio, or ours"""
    tuned: tuple[int, ...]
    """merged and re-trained"""
    speeds: tuple[int, ...]
    """merged at every site, timed and re-trained"""

    @property
    def fast(self) -> tuple[str, ...]:
        """Labels of what was timed and re-trained."""
        return (*(f"rmeeto_r{r}" for r in self.speeds), *super().fast)


FASHION = DataSet(
    "fashion", "Fashion-MNIST", "fashion/vim_w64", (), "fashion/vit_w64",
    smaller=(), sweep=(5, 10, 15, 20), main=11, mid=15, high=20,
    tuned=(11, 15, 20, EXTREME_R), speeds=(11, 15, 20),
)  # fmt: skip
CIFAR = DataSet(
    "cifar10", "CIFAR-10 (JPEG)", "cifar10/vim_w96", EARLY_RS["cifar10/vim_w96"], "cifar10/vit_w96",
    smaller=("cifar10/vim_w64", "cifar10/vim_w48"), sweep=(1, 2, 3, 4, 5), main=4, mid=5, high=5,
    tuned=(3, 4, 5), speeds=(3, 4, 5),
)  # fmt: skip
ELASTIC = Timed(
    "elastic", "the demo's model, Fashion-MNIST, 8 classes", "fashion8/vim_elastic",
    EARLY_RS["fashion8/vim_elastic"],
)  # fmt: skip
"""The last training stage merged a random number of tokens in each step."""
OVERLAP = Timed(
    "overlap", "overlapping patches, Fashion-MNIST, 8 classes", "fashion8/vim_overlap",
    EARLY_RS["fashion8/vim_overlap"],
)  # fmt: skip
"""The same from the second stage on, and each pixel is part of four tokens."""
