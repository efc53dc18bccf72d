"""What every command can be asked for: plain dataclasses, shared by the Python functions and the flags.

Nothing here imports torch, so that `rmeeto COMMAND --help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class ModelOptions:
    """Which model."""

    model: str = "demo"
    """A model name (`rmeeto list`), a folder that rmeeto saved, or "demo": the small Vision Mamba that ships here."""
    weights: str | None = None
    """A checkpoint: a .pth or .safetensors file in any published layout, or hub:<repo>/<file>."""
    ema: bool | None = None
    """Take the EMA weights of the checkpoint; by default only where the published number needs them (Vim-B)."""
    img_size: int | None = None
    """Side of the input images in pixels; position embeddings are resized. Default: the model's own."""


@dataclass(frozen=True)
class DataOptions:
    """Which images."""

    data: str = "demo"
    """A folder of class sub-folders (or of train/ and val/ with them), a folder of MNIST-style idx files, a CIFAR
    archive, an .npz file or folder, or "demo": the Fashion-MNIST subset that ships here."""
    validation: float = 0.1
    """Share of the training images held out for choosing, when the data has no validation split of its own."""
    limit: int | None = None
    """Evaluate on the first N images of the evaluation split only (a quick look); `audit` takes N of each set instead,
    equally many of each class."""
    batch_size: int = 128
    """Images at a time during evaluation."""
    workers: int = 0
    """Processes that decode images (0: in this process)."""


@dataclass(frozen=True)
class ReductionOptions:
    """How tokens are reduced. Give one of --r, --ratio, --final-tokens, --gflops."""

    method: str = "rmeeto"
    """Reducer (`rmeeto list` shows all)."""
    r: int | None = None
    """Tokens removed before each chosen block. Default 11, the paper's value for Vim-S and Vim-B."""
    ratio: float | None = None
    """Reduction ratio asked for: 1 − (mean tokens per block) / (tokens at the start), between 0 and 1."""
    final_tokens: int | None = None
    """Tokens that should be left at the end."""
    gflops: float | None = None
    """Cost to reach, in GFLOPs as the papers count them."""
    sites: str | None = None
    """Where: even, odd, all, an interval such as 4, or layers such as 2,4,8 (1, for one). Default: the model's own."""
    metric: str | None = None
    """What similarity is measured on: update (the paper's X), tokens, b, c, delta; q, k, v for ViT."""
    compat: Literal["upstream"] | None = None
    """Reproduce the released code's placement of the class token, for checkpoints trained with it."""


@dataclass(frozen=True)
class RetrainOptions:
    """How the model is re-trained."""

    recipe: str = "small"
    """A preset (rmeeto: the paper's; small: for small data; scratch) or a TOML file."""
    epochs: float | None = None
    """Passes over the training images."""
    max_steps: int | None = None
    """Stop after this many optimiser steps (bit-exact to resume, unlike --minutes)."""
    minutes: float | None = None
    """Time budget of the re-training; the schedule is finished within it."""
    lr: float | None = None
    """Peak learning rate as given in the recipe."""
    train_batch_size: int | None = None
    """Images per optimiser step."""
    precision: Literal["fp32", "bf16", "auto"] | None = None
    """Arithmetic of the re-training; auto is bf16 where that is faster."""
    max_class_drop: float | None = None
    """Points of validation accuracy that no class may lose against the unreduced model: classes that lose more count
    more, and weights that keep to it are kept before all others."""
    data_fraction: float | None = None
    """Share of the training images to use; the validation images stay whole."""


@dataclass(frozen=True)
class RunOptions:
    """Where results go, and how."""

    out: Path | None = None
    """Run folder for record.json, config.toml, report.html, checkpoints and log.jsonl. Default: runs/COMMAND."""
    json: bool = False
    """Print the record as JSON instead of tables."""
    resume: bool = True
    """Go on where an interrupted run in the same folder stopped; --no-resume starts over."""
    seed: int = 0
    """Seed of everything random."""
    threads: int | None = None
    """Threads for the arithmetic. Default: what torch takes."""


@dataclass(frozen=True)
class TrustOptions:
    """Re-training that keeps, or repairs, what the model knows about images of none of its classes."""

    trust: bool = False
    """Add the losses on outliers: exposure, separation from the class weights, clustering."""
    outliers: str | None = None
    """Images of none of the classes, in any format that --data takes (its training split). Never a set that the
    result is judged on. Without it, outliers are made from the training images, and the record says so."""
    max_drop: float | None = None
    """With --trust: stop, and go back to the best weights, once validation accuracy is this many points below the
    best so far. Default: 2."""


@dataclass(frozen=True)
class CorruptionOptions:
    """What corrupted images do to the models of an audit; off unless asked for."""

    corruptions: tuple[str, ...] | None = None
    """Also corrupt the ID images: names (docs/corruptions.md), common (15 of them; the bare flag means these), extra,
    or all. One pass a corruption, severity and model, whose cost is told before it starts."""
    perspective: bool = False
    """Also turn the ID images in perspective, eight ways (Möbius transformations), at the same severities."""
    masks: str | None = None
    """Foreground masks of the evaluation images, in any format that --data takes, in the same order and number, white
    where the thing is: also edit the backgrounds of the ID images, four ways, at the same severities."""
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Severities of --corruptions, --perspective and --masks: 1 (weak) to 5."""
    corruption_images: int = 1000
    """ID images, equally many of each class, that are corrupted."""

    @property
    def asked(self) -> bool:
        """Whether anything is to be corrupted."""
        return self.corruptions is not None or self.perspective or self.masks is not None


@dataclass(frozen=True)
class ShiftOptions:
    """The ID classes under other conditions, for an audit."""

    shifts: tuple[str, ...] = ()
    """Test sets of the same classes, photographed or collected anew (ImageNet-V2 and the like), in any format that
    --data takes; classes are matched by name, and some may be missing."""
    real: Path | None = None
    """JSON with all the right labels of each evaluation image (ReaL): a list of lists in the order of the images, or
    an object from file names to lists; labels are class names or numbers."""


@dataclass(frozen=True)
class SpeedOptions:
    """How speed is measured."""

    batches: tuple[int, ...] = (1, 32, 128)
    """Batch sizes."""
    speed_seconds: float = 8.0
    """Time spent on each batch size, both models together."""
    speed_precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the timed models."""


@dataclass(frozen=True)
class TrainOptions:
    """Train a model from scratch, or fine-tune it, on your images."""

    model: ModelOptions = field(default_factory=lambda: ModelOptions(model="vim_micro_patch2_28"))
    data: DataOptions = field(default_factory=DataOptions)
    training: RetrainOptions = field(default_factory=lambda: RetrainOptions(recipe="scratch"))
    run: RunOptions = field(default_factory=RunOptions)
    embed_dim: int | None = None
    """Width of the model, if not its own."""
    depth: int | None = None
    """Number of blocks, if not its own."""


@dataclass(frozen=True)
class RebuildOptions:
    """The main job: evaluate, merge tokens, evaluate, re-train, evaluate, measure speed, report."""

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    reduction: ReductionOptions = field(default_factory=ReductionOptions)
    training: RetrainOptions = field(default_factory=RetrainOptions)
    trusting: TrustOptions = field(default_factory=TrustOptions)
    corrupting: CorruptionOptions = field(default_factory=CorruptionOptions)
    shifting: ShiftOptions = field(default_factory=ShiftOptions)
    speed: SpeedOptions = field(default_factory=SpeedOptions)
    run: RunOptions = field(default_factory=RunOptions)
    curve: tuple[int, ...] = (3, 7, 11, 15, 20)
    """Values of r for the curve of accuracy without re-training."""
    curve_images: int = 1000
    """Images behind each point of that curve (0: no curve)."""
    control: bool = False
    """Also re-train the unreduced model by the same recipe, to tell what the training does from what the reduction
    does. Takes the re-training's time again, and more, because no token is removed."""
    sizes: tuple[Path, ...] = ()
    """record.json of `rmeeto evaluate` runs of unreduced siblings (other widths), for the gain over the size line."""
    pictures: int = 6
    """Images for which the report shows which patches merged."""
    audit: bool = False
    """Also audit the rebuilt model against the original (calibration, out-of-distribution detection; see
    `rmeeto audit`), in the folder audit/ and in this report."""
    ood: tuple[str, ...] = ()
    """With --audit: image sets of other classes, each as near:DATA or far:DATA. --corruptions, --perspective,
    --masks, --shifts and --real need --audit too."""


@dataclass(frozen=True)
class EvaluateOptions:
    """Accuracy of a model on labelled images, with intervals."""

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    reduction: ReductionOptions = field(default_factory=lambda: ReductionOptions(method="none"))
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class SweepOptions:
    """Training-free accuracy and cost over r, for one or several reduction methods."""

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    run: RunOptions = field(default_factory=RunOptions)
    methods: tuple[str, ...] = ("rmeeto", "prune_redundant")
    """Reducers to compare."""
    rs: tuple[int, ...] = (0, 5, 10, 15, 20)
    """Values of r."""
    max_drop: float | None = None
    """Say which r is the largest that loses fewer than this many percentage points of accuracy, by a bound that holds
    for images of any kind (r is tested from the smallest on; r = 0 is added to compare with). The images must have
    chosen nothing before."""
    confidence: float = 0.95
    """Probability with which that holds, for all methods together."""
    sites: str | None = None
    """Where tokens are removed, as for `rebuild`."""


TIER_1 = (
    "msp", "max_logit", "energy", "entropy", "gen", "temperature_scaled", "mahalanobis",
    "relative_mahalanobis", "knn", "vim", "residual", "react",
)  # fmt: skip
"""Scores that cost no more than the forward pass and fit any classifier."""


@dataclass(frozen=True)
class AuditOptions:
    """What a model knows about what it does not know, and what a change of it did to that.

    One forward pass over each image set, kept in the run folder; every score, calibration figure
    and paired interval comes from there. Examples:

      rmeeto audit demo --r 11 --ood near:path/to/like_them far:path/to/unlike_them

      rmeeto audit runs/before/model runs/after/model --data path/to/images --ood near:a far:b far:c
    """

    models: Positional[tuple[str, ...]] = ("demo",)
    """A, and B if two are to be compared: folders that rmeeto saved (each keeps its own reduction), "demo", or model
    names. With one model and --r, --ratio, --final-tokens or --gflops, B is A reduced by that."""
    data: DataOptions = field(default_factory=DataOptions)
    reduction: ReductionOptions = field(default_factory=lambda: ReductionOptions(method="none"))
    corrupting: CorruptionOptions = field(default_factory=CorruptionOptions)
    shifting: ShiftOptions = field(default_factory=ShiftOptions)
    timing: SpeedOptions = field(default_factory=SpeedOptions)
    run: RunOptions = field(default_factory=RunOptions)
    ood: tuple[str, ...] = ()
    """Image sets of classes that the model was not trained on, each as near:DATA (similar things) or far:DATA (other
    things); DATA is anything that --data takes. Images are brought to the model's size and channels."""
    scores: tuple[str, ...] = TIER_1
    """Out-of-distribution scores (`rmeeto list` shows all), or MODULE:FUNCTION, which makes a detector of another
    package such as pytorch-ood. Another choice in the same --out reads the kept outputs."""
    gradient: bool = False
    """Also odin and adascale, which need the gradient of the input: about four times the time of a pass, each."""
    fit_images: int = 5000
    """Training images, equally many of each class, that scores are fitted on."""
    draws: int = 1000
    """Resamples behind each interval."""
    speed: bool = False
    """Also time both models, about --speed-seconds a batch size. The cascade (B first, A when unsure) then costs time,
    at the largest batch; else it costs FLOPs."""


@dataclass(frozen=True)
class BenchOptions:
    """Speed, FLOPs and memory of the reduced against the unreduced model, interleaved."""

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=lambda: DataOptions(data="noise"))
    reduction: ReductionOptions = field(default_factory=ReductionOptions)
    speed: SpeedOptions = field(default_factory=SpeedOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class CalibrateOptions:
    """Fit a temperature on validation images and save it with the model; `predict` divides by it."""

    model: ModelOptions = field(default_factory=ModelOptions)
    data: DataOptions = field(default_factory=DataOptions)
    reduction: ReductionOptions = field(default_factory=lambda: ReductionOptions(method="none"))
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class PredictOptions:
    """Classes and confidences for images, at the temperature that `calibrate` stored with the model, if any."""

    images: Positional[tuple[Path, ...]]
    """Image files or folders of them."""
    model: ModelOptions = field(default_factory=ModelOptions)
    top: int = 3
    """Classes shown for each image."""
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class InspectOptions:
    """Look at a model, a checkpoint, or which tokens of one image merge."""

    model: ModelOptions = field(default_factory=ModelOptions)
    reduction: ReductionOptions = field(default_factory=ReductionOptions)
    image: Path | None = None
    """An image whose merged tokens are drawn into the run folder."""
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class ListOptions:
    """Models, reducers, recipes, out-of-distribution scores and augmentations that are available."""

    pattern: str = "*"
    """Only names that match, such as "vim_*"."""
    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """Folder for the record."""


@dataclass(frozen=True)
class DoctorOptions:
    """Which kernels are used on this machine, and why."""

    json: bool = False
    """Print JSON."""
    out: Path | None = None
    """Folder for the record."""
