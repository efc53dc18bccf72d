"""Train the reference checkpoints that every comparison starts from; resumable, one after another.

python experiments/references.py [--only fashion/vim_w64] [--list]
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from experiments import environment

if __name__ == "__main__":
    environment.settle()  # before torch is loaded

import rmeeto
from experiments.data import ROOT, splits
from rmeeto.config import to_dict
from rmeeto.evaluation import accuracies, predict
from rmeeto.profiling import describe_machine
from rmeeto.reducers import reducer_from_dict
from rmeeto.retrain import Advanced, Trained, Validated, preset, retrain

OUT = ROOT / "results" / "references"
RUNS = ROOT / "runs" / "references"


@dataclass(frozen=True)
class Reference:
    """An unreduced model and how it is trained: stages, each the preset "scratch" with changes.

    A stage may see images of half the side ("half_size"): it costs a quarter per image and leaves
    less to learn at the full side. Position embeddings are resized in between. It may train with a
    "reduction", which is taken off afterwards, and distil from the unreduced model that it starts
    with ("distil").
    """

    data: str
    model: str
    overrides: dict = field(default_factory=dict)
    stages: tuple[dict, ...] = ()
    start: str | None = None
    """the reference whose weights the first stage begins with"""


_SHARED = {"batch_size": 64, "smoothing": 0.0, "warmup": 0.02, "log_every": 50}
_FLIP = {"crop": "none", "hflip": 0.5}
_FASHION = (
    {**_SHARED, "half_size": True, "augment": _FLIP, "epochs": 5.0, "lr": 3e-3, "min_lr": 1e-4},
    {**_SHARED, "augment": _FLIP, "epochs": 2.5, "lr": 1.5e-3, "min_lr": 3e-5, "validate_every": 859},
    {**_SHARED, "augment": {"crop": "none"}, "epochs": 2.0, "lr": 1e-3, "min_lr": 1e-5,
     "validate_every": 859},
    {**_SHARED, "augment": {**_FLIP, "erasing": 0.25}, "epochs": 2.0, "lr": 1e-3, "min_lr": 1e-5,
     "validate_every": 859},  # as published models were trained; it also softens what merging costs
)  # fmt: skip
_PAD = {"crop": "pad", "hflip": 0.5}
_CIFAR = (
    {**_SHARED, "half_size": True, "augment": {**_PAD, "pad": 2}, "epochs": 12.0, "lr": 3e-3,
     "min_lr": 1e-4, "validate_every": 1406},
    {**_SHARED, "augment": {**_PAD, "pad": 4}, "epochs": 7.0, "lr": 1.5e-3, "min_lr": 1e-5,
     "validate_every": 703},
)  # fmt: skip
_LONGER = {**_FASHION[1], "epochs": 4.0, "min_lr": 1e-5}
"""What a ViT needs besides: it learns more slowly."""
_AUTO = {"precision": "auto"}  # for those trained since it can be asked for
_ELASTIC = {
    **_FASHION[3], **_AUTO, "epochs": 4.0, "keep": "ema", "elastic": True,
    "reduction": {"name": "rmeeto", "r": 90, "sites": [1], "metric": "b"},
}  # fmt: skip
"""Every r up to 90 after the first block: 1.7 times fewer operations."""
_DISTILLED = {
    **_ELASTIC, "epochs": 3.0, "lr": 5e-4, "distill_weight": 8.0, "distill_temperature": 3.0,
    "reduction": {**_ELASTIC["reduction"], "r": 60}, "distil": True,
}  # fmt: skip
"""Every r that the demo could use (up to 60), taught by the unreduced model what it would have said."""
_MERGING = {"elastic": True, "reduction": {**_ELASTIC["reduction"], "r": 80}}
_OVERLAP = (
    {**_FASHION[0], **_AUTO},
    {**_FASHION[1], **_AUTO, **_MERGING, "epochs": 3.0},
    {**_FASHION[3], **_AUTO, **_MERGING, "epochs": 3.0, "keep": "ema"},
    {**_DISTILLED, **_MERGING},
)  # fmt: skip
"""Elastic from the second stage on: up to 80 of 170 tokens."""
_TIN = (
    {**_CIFAR[0], **_AUTO, "epochs": 7.0}, {**_CIFAR[1], **_AUTO, "epochs": 5.0},
)  # fmt: skip
REFERENCES = {
    "fashion/vim_w64": Reference("fashion", "vim_micro_patch2_28", {"embed_dim": 64}, _FASHION),
    "fashion8/vim_overlap": Reference("fashion8", "vim_micro_patch4_stride2_28", {}, _OVERLAP),
    "fashion8/vim_w64": Reference(
        "fashion8", "vim_micro_patch2_28", {},
        tuple(stage | _AUTO for stage in (_FASHION[0], _FASHION[1], _FASHION[3])),
    ),
    "fashion8/vim_elastic": Reference(
        "fashion8", "vim_micro_patch2_28", {}, (_ELASTIC, _DISTILLED), start="fashion8/vim_w64"
    ),
    "cifar10/vim_w96": Reference("cifar10", "vim_micro_patch4_32", {"embed_dim": 96}, _CIFAR),
    "fashion/vit_w64": Reference(
        "fashion", "vit_micro_patch2_28", {"embed_dim": 64, "depth": 12},
        tuple(stage | _AUTO for stage in (_FASHION[0], _FASHION[1], _FASHION[3], _LONGER)),
    ),
    "cifar10/vit_w96": Reference(
        "cifar10", "vit_micro_patch4_32", {"embed_dim": 96, "depth": 12},
        tuple(s | _AUTO for s in _CIFAR),
    ),
    "cifar10/vim_w64": Reference(
        "cifar10", "vim_micro_patch4_32", {"embed_dim": 64}, tuple(s | _AUTO for s in _CIFAR)
    ),
    "cifar10/vim_w48": Reference(
        "cifar10", "vim_micro_patch4_32", {"embed_dim": 48}, tuple(s | _AUTO for s in _CIFAR)
    ),
    "tin100/vim_w128": Reference("tin100", "vim_micro_patch4_32", {"embed_dim": 128}, _TIN),
}  # fmt: skip


def load_reference(name: str):
    """The committed checkpoint called ``name``."""
    return rmeeto.load_model(OUT / name).eval()


def train(name: str, reference: Reference, seed: int = 0) -> None:
    """Train one reference unless it is there; the folder appears only when it is whole."""
    if (OUT / name / "training.json").exists():
        return
    sets, results = splits(reference.data), []
    weights = None if reference.start is None else OUT / reference.start
    for number, stage in enumerate(reference.stages, 1):
        folder = RUNS / name / f"stage{number}"
        model, result = _train_stage(
            f"{name} stage {number}", reference, stage, weights, folder, seed
        )
        results.append(result)
        weights = folder / "model"
    found = accuracies(*_logits(model, sets.test, _preprocessing(model)))
    summary = {
        "reference": asdict(reference), "seed": seed, "stages": results, "test": to_dict(found),
        "machine": describe_machine(),
    }  # fmt: skip
    recipe = to_dict(preset("scratch").changed(**_recipe(reference.stages[-1]), seed=seed))
    provenance = {"reference": asdict(reference), "recipe": recipe, "seed": seed}
    rmeeto.save_model(model, OUT / name, {"classes": sets.train.classes, "provenance": provenance})
    (OUT / name / "training.json").write_text(json.dumps(summary, indent=1))
    print(f"{name}: test {found['top1']}", flush=True)


def _train_stage(
    title: str, reference: Reference, stage: dict, weights: Path | None, folder: Path, seed: int
):
    """Train one stage from ``weights``, or load it if it is done: (model, what `retrain` returned)."""
    sets, overrides = splits(reference.data), dict(reference.overrides)
    if stage.get("half_size"):
        overrides["img_size"] = rmeeto.create_model(reference.model).config.image_hw[0] // 2
    overrides["num_classes"] = len(sets.train.classes)
    model = rmeeto.create_model(reference.model, weights, seed=seed, **overrides)
    teacher = copy.deepcopy(model) if stage.get("distil") else None
    if "reduction" in stage:
        rmeeto.reduce_(model, reducer_from_dict(stage["reduction"]))
    result = retrain(
        model, preset("scratch").changed(**_recipe(stage), seed=seed), sets.train, sets.validation,
        folder, preprocessing=_preprocessing(model), teacher=teacher, on_event=_say(title),
    )  # fmt: skip
    rmeeto.save_model(rmeeto.restore_(model), folder / "model")
    return model, to_dict(result)


def _recipe(stage: dict) -> dict:
    return {k: v for k, v in stage.items() if k not in ("half_size", "reduction", "distil")}


def _preprocessing(model) -> rmeeto.Preprocessing:
    return rmeeto.Preprocessing(**model.config.preprocessing)


def _logits(model, source, preprocessing):
    found = predict(model, source, preprocessing)
    return found.logits, found.labels


def _say(name: str):
    def on_event(event) -> None:
        if isinstance(event, Trained) and event.step % 100 == 0:
            left = f"{event.seconds_left / 60:.0f} min left" if event.seconds_left else ""
            print(
                f"{name} step {event.step} epoch {event.epoch:.2f} loss {event.loss:.3f} "
                f"acc {event.accuracy:.3f} {event.images_per_second:.0f} img/s {left}",
                flush=True,
            )
        elif isinstance(event, Validated):
            print(
                f"{name} step {event.step} val {event.accuracy:.4f} ema {event.ema_accuracy}",
                flush=True,
            )
        elif isinstance(event, Advanced):
            return

    return on_event


def main() -> None:
    """Train all references, or those whose name begins with ``--only``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names that begin with this")
    parser.add_argument("--list", action="store_true", help="names and whether they are trained")
    parser.add_argument("--restart", action="store_true", help="forget unfinished runs")
    given = parser.parse_args()
    for name, reference in REFERENCES.items():
        if not name.startswith(given.only):
            continue
        if given.list:
            print(name, "trained" if (OUT / name / "training.json").exists() else "missing")
            continue
        if given.restart:
            shutil.rmtree(RUNS / name, ignore_errors=True)
        train(name, reference)


if __name__ == "__main__":
    main()
