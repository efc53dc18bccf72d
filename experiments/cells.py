"""Cells, and those about accuracy and speed, most decisive first; each one is a file in results/cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["free", "tune", "speed", "detect", "stale", "trust"]

SEEDS = (0, 1, 2)
TUNE_IMAGES, TUNE_SHARE = 15_000, 0.4
"""Class-balanced training images drawn for re-training, and the share of them that most cells use."""


@dataclass(frozen=True)
class Cell:
    """One measurement of one reference with one reduction.

    ``free`` evaluates without re-training, ``tune`` re-trains first and evaluates then, ``speed``
    times the reduced model against the unreduced one. ``detect`` also measures what the model makes
    of images of none of its classes, ``stale`` with scores that were fitted before the reduction,
    ``trust`` after a re-training.
    """

    reference: str
    """data/model, a key of `references.REFERENCES`"""
    kind: Kind
    label: str
    """names reducer and recipe; the same label means the same settings"""
    reducer: dict[str, Any] | None = None
    """``name`` and settings; None leaves the model as it is"""
    recipe: dict[str, Any] = field(default_factory=dict)
    """changes to the preset "small" (tune and trust)"""
    seed: int = 0

    @property
    def id(self) -> str:
        """Name of the cell, and path of its file below results/cells."""
        seed = f"/seed{self.seed}" if self.trained else ""
        return f"{self.reference}/{self.kind}/{self.label}{seed}"

    @property
    def trained(self) -> bool:
        """Whether a re-training comes first."""
        return self.kind in ("tune", "trust")

    @property
    def data(self) -> str:
        """Data set: "fashion", "fashion8", "cifar10" or "tin100"."""
        return self.reference.partition("/")[0]


def merge(r: int, **settings: Any) -> dict[str, Any]:
    """R-MeeTo's merging of r tokens at every site."""
    return {"name": "rmeeto", "r": r, **settings}


def early(r: int) -> dict[str, Any]:
    """R-MeeTo's merging at one site, after the first block, by the state input B: chosen on
    validation images, where it keeps more than the paper's sites at the same measured speed."""
    return merge(r, sites=[1], metric="b")


def prune(r: int, **settings: Any) -> dict[str, Any]:
    """The paper's baseline: the same tokens dropped instead of merged."""
    return {"name": "prune_redundant", "r": r, **settings}


def informative(r: int, drop: str = "most") -> dict[str, Any]:
    """Drop the tokens that the mixer found most (or least) informative."""
    return {"name": "prune_score", "r": r, "drop": drop}


class Host:
    """Cells of one reference; ``common`` are settings of every matching reducer on it."""

    def __init__(self, reference: str, **common: Any) -> None:
        self.reference, self.common = reference, common
        # Flips cost a short re-training on Fashion-MNIST more than they bring. Plain images look the
        # same in every epoch, so the teacher sees them once.
        self.recipe = {"augment": "none", "views": 1} if reference.startswith("fashion") else {}

    def free(self, label: str, reducer: dict[str, Any] | None = None) -> Cell:
        """Training-free accuracy."""
        return Cell(self.reference, "free", label, self._with_common(reducer))

    def tune(
        self, label: str, reducer: dict[str, Any] | None = None, seeds=SEEDS, **recipe: Any
    ) -> list[Cell]:
        """Accuracy after the re-training, one cell a seed."""
        reducer = self._with_common(reducer)
        recipe = self.recipe | recipe
        return [Cell(self.reference, "tune", label, reducer, recipe, seed) for seed in seeds]

    def speed(self, r: int) -> Cell:
        """Speed of merging against the unreduced model."""
        return Cell(self.reference, "speed", f"rmeeto_r{r}", self._with_common(merge(r)))

    def early(self, rs: tuple[int, ...], **recipe: Any) -> Iterator[Cell]:
        """Merging at one early site: training-free, re-trained and timed."""
        for r in rs:
            label = f"early_r{r}"
            yield self.free(label, early(r))
            yield from self.tune(label, early(r), **recipe)
            yield Cell(self.reference, "speed", label, early(r))

    def ratios(self, rs: tuple[int, ...]) -> Iterator[Cell]:
        """Merging and pruning over r, and the unreduced model; training-free."""
        yield self.free("r0")
        for r in rs:
            yield self.free(f"rmeeto_r{r}", merge(r))
            yield self.free(f"prune_redundant_r{r}", prune(r))

    def tuned(self, rs: tuple[int, ...]) -> Iterator[Cell]:
        """Merging with re-training over r."""
        for r in rs:
            yield from self.tune(f"rmeeto_r{r}", merge(r))

    def _with_common(self, reducer: dict[str, Any] | None) -> dict[str, Any] | None:
        return reducer if reducer is None else {**reducer, **self.common}


FASHION_RS, CIFAR_RS = (5, 10, 11, 15, 20), (1, 2, 3, 4, 5)
EARLY_RS = {"fashion8/vim_elastic": (45, 50, 55), "fashion8/vim_overlap": (70,), "cifar10/vim_w96": (14,)}
"""Merged once: what makes each of them about 1.23, 1.25 and 1.3, 1.5 and 1.2 times as fast; 50 is the demo's."""
LONG: dict[str, Any] = {
    "data_fraction": 1.0, "epochs": 4.0, "lr": 5e-4, "distill_weight": 16.0, "ema_decay": 0.998,
}  # fmt: skip
"""Like the demo's re-training, some minutes on one core: what merging once, early, is worth."""
PREPARED: dict[str, Any] = {"epochs": 2.0, "lr": 2e-4}
"""After elastic training there is less to learn, and more to lose by large steps."""
FLIPS: dict[str, Any] = {"augment": {"crop": "none", "hflip": 0.5}, "views": None}
"""The demo's augmentation: over several epochs, plain images would be learnt by heart."""
EXTREME_R = 30
"""Beyond the paper: two tokens are left, where a re-training has most to recover."""
KTH, SHUFFLE = (3, 5, 7, 14), (0.1, 0.3, 0.5, 0.7)
METRICS, DISTANCES, MODES = ("b", "c", "delta", "tokens"), ("l1", "l2"), ("mean", "max", "min")


def fashion_cells() -> Iterator[Cell]:
    vim, vit = Host("fashion/vim_w64"), Host("fashion/vit_w64", metric="k")
    yield from vim.ratios(FASHION_RS)
    yield from vit.ratios(FASHION_RS)
    for r in (11, 20):
        yield vim.free(f"prune_most_r{r}", informative(r))
        yield vim.free(f"prune_least_r{r}", informative(r, "least"))
        yield vim.free(f"prune_random_r{r}", {"name": "prune_random", "r": r})
    for r in (45, 80):
        yield vim.free(f"early_r{r}", early(r))
    yield from vim.tuned((20, 11))
    yield from vim.tune("r0")
    yield vim.free("unordered_r11", merge(11, ordered=False))
    yield vit.free("unordered_r11", merge(11, ordered=False))
    yield from vim.tune("unordered_r11", merge(11, ordered=False))
    yield from vit.tuned((11,))
    yield from vit.tune("unordered_r11", merge(11, ordered=False))
    yield from (vim.speed(r) for r in (5, 11, 15, 20))
    yield from _fashion_ablations(vim)
    yield from vim.tune("prune_redundant_r20", prune(20))
    yield from vim.tuned((15,))
    yield from vim.tune("prune_most_r20", informative(20))
    yield vim.free(f"rmeeto_r{EXTREME_R}", merge(EXTREME_R))
    yield from vim.tuned((EXTREME_R,))
    yield from _fashion_lengths(vim)
    yield from vim.tune("kth7_r11", merge(11, kth=7))
    yield from (vit.speed(r) for r in (5, 11, 15, 20))


def fashion8_cells() -> Iterator[Cell]:
    """Elastically trained models: the demo's, the one that it was made from, and one of overlapping patches."""
    names = "fashion8/vim_elastic", "fashion8/vim_overlap"
    plain = Host("fashion8/vim_w64")
    for host in (plain, *map(Host, names)):
        yield host.free("r0")
    for name in names:
        yield from Host(name).early(EARLY_RS[name], **{**LONG, **FLIPS, **PREPARED})
    for r in EARLY_RS[names[0]]:
        yield plain.free(f"early_r{r}", early(r))


def _fashion_ablations(vim: Host) -> Iterator[Cell]:
    """Training-free variations at the paper's r = 11: order, choice, metric, distance, mode."""
    for rate in SHUFFLE:
        yield vim.free(f"shuffle{rate:g}_r11", merge(11, shuffle=rate))
    for k in KTH:
        yield vim.free(f"kth{k}_r11", merge(11, kth=k))
    for metric in METRICS:
        yield vim.free(f"metric_{metric}_r11", merge(11, metric=metric))
    for distance in DISTANCES:
        yield vim.free(f"distance_{distance}_r11", merge(11, distance=distance))
    for mode in MODES:
        yield vim.free(f"merge_{mode}_r11", merge(11, merge=mode))


def _fashion_lengths(vim: Host) -> Iterator[Cell]:
    """How long and on how many images to re-train, at r = 20."""
    for epochs in (1.0, 6.0):
        yield from vim.tune(f"rmeeto_r20_epochs{epochs:g}", merge(20), epochs=epochs)
    for share in (0.1, 0.3):
        fraction = share * TUNE_SHARE
        yield from vim.tune(f"rmeeto_r20_data{100 * share:g}", merge(20), data_fraction=fraction)


def _smaller(data: str, widths: tuple[int, ...]) -> Iterator[Cell]:
    """Unreduced smaller models: the size line, as trained and after the same re-training."""
    for width in widths:
        host = Host(f"{data}/vim_w{width}")
        yield host.free("r0")
        yield from host.tune("r0", seeds=(0,))


def cifar_cells() -> Iterator[Cell]:
    vim, vit = Host("cifar10/vim_w96"), Host("cifar10/vit_w96", metric="k")
    yield from vim.ratios(CIFAR_RS)
    yield from vit.ratios(CIFAR_RS)
    yield vim.free("prune_most_r5", informative(5))
    yield vim.free("prune_least_r5", informative(5, "least"))
    yield from vim.early(EARLY_RS[vim.reference], **LONG)
    yield from vim.tuned((5, 4))
    yield from vim.tune("r0")
    yield vim.free("unordered_r4", merge(4, ordered=False))
    yield vit.free("unordered_r4", merge(4, ordered=False))
    yield from vim.tune("unordered_r4", merge(4, ordered=False))
    yield from vit.tuned((4,))
    yield from vit.tune("unordered_r4", merge(4, ordered=False))
    yield from (vim.speed(r) for r in (2, 3, 4, 5))
    yield from vim.tune("prune_redundant_r5", prune(5))
    yield from vim.tuned((3,))
    yield from vim.tune("prune_most_r5", informative(5))
    yield from _smaller("cifar10", (64, 48))
