"""Train the reference checkpoints that every comparison starts from; resumable, one after another.

python experiments/references.py [--only fashion/vim_w64] [--list]
"""

from __future__ import annotations

import argparse
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
from rmeeto.retrain import Advanced, Trained, Validated, preset, retrain

OUT = ROOT / "results" / "references"
RUNS = ROOT / "runs" / "references"


@dataclass(frozen=True)
class Reference:
    """An unreduced model and how it is trained: the preset "scratch" with changes, in one or two stages.

    Training at half the image side first costs a quarter per image and leaves less to learn at the
    full side; the position embeddings are resized in between.
    """

    data: str
    model: str
    overrides: dict = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    half_size: dict = field(default_factory=dict)
    """Recipe of a first stage on images of half the side; empty = none."""


_SHARED = {
    "batch_size": 64, "smoothing": 0.0, "warmup": 0.02, "log_every": 50,
    "augment": {"crop": "none", "hflip": 0.5},
}  # fmt: skip
_FASHION_HALF = {**_SHARED, "epochs": 5.0, "lr": 3e-3, "min_lr": 1e-4}
_FASHION = {**_SHARED, "epochs": 2.5, "lr": 1.5e-3, "min_lr": 3e-5, "validate_every": 859}
_CIFAR = {"epochs": 20.0, "augment": {"crop": "pad", "pad": 4, "hflip": 0.5}}
REFERENCES = {
    "fashion/vim_w64": Reference(
        "fashion", "vim_micro_patch2_28", {"embed_dim": 64}, _FASHION, _FASHION_HALF
    ),
    "cifar10/vim_w96": Reference("cifar10", "vim_micro_patch4_32", {"embed_dim": 96}, _CIFAR),
    "fashion/vit_w64": Reference(
        "fashion", "vit_micro_patch2_28", {"embed_dim": 64, "depth": 12}, _FASHION, _FASHION_HALF
    ),
    "cifar10/vit_w96": Reference(
        "cifar10", "vit_micro_patch4_32", {"embed_dim": 96, "depth": 12}, _CIFAR
    ),
    "fashion/vim_w48": Reference(
        "fashion", "vim_micro_patch2_28", {"embed_dim": 48}, _FASHION, _FASHION_HALF
    ),
    "cifar10/vim_w64": Reference("cifar10", "vim_micro_patch4_32", {"embed_dim": 64}, _CIFAR),
    "fashion/vim_w32": Reference(
        "fashion", "vim_micro_patch2_28", {"embed_dim": 32}, _FASHION, _FASHION_HALF
    ),
    "cifar10/vim_w48": Reference("cifar10", "vim_micro_patch4_32", {"embed_dim": 48}, _CIFAR),
}


def load_reference(name: str):
    """The committed checkpoint called ``name``."""
    return rmeeto.load_model(OUT / name).eval()


def train(name: str, reference: Reference, seed: int = 0) -> None:
    """Train one reference unless it is there; the folder appears only when it is whole."""
    if (OUT / name / "training.json").exists():
        return
    sets, recipe = splits(reference.data), preset("scratch").changed(**reference.recipe, seed=seed)
    weights = _half_size(name, reference, seed) if reference.half_size else None
    model = rmeeto.create_model(
        reference.model, weights, seed=seed, num_classes=10, **reference.overrides
    )
    preprocessing = rmeeto.Preprocessing(**model.config.preprocessing)
    result = retrain(
        model,
        recipe,
        sets.train,
        sets.validation,
        RUNS / name,
        preprocessing=preprocessing,
        on_event=_say(name),
    )
    found = accuracies(*_logits(model, sets.test, preprocessing))
    provenance = {"reference": asdict(reference), "recipe": to_dict(recipe), "seed": seed}
    rmeeto.save_model(model, OUT / name, {"classes": sets.train.classes, "provenance": provenance})
    summary = {
        **provenance,
        "result": to_dict(result),
        "test": to_dict(found),
        "machine": describe_machine(),
    }
    (OUT / name / "training.json").write_text(json.dumps(summary, indent=1))
    print(f"{name}: test {found['top1']}", flush=True)


def _half_size(name: str, reference: Reference, seed: int) -> Path:
    """Folder of the model after the first stage."""
    sets, folder = splits(reference.data), RUNS / name / "half_size"
    if not (folder / "model").exists():
        recipe = preset("scratch").changed(**reference.half_size, seed=seed)
        side = rmeeto.create_model(reference.model, **reference.overrides).config.image_hw[0] // 2
        model = rmeeto.create_model(
            reference.model, seed=seed, num_classes=10, img_size=side, **reference.overrides
        )
        preprocessing = rmeeto.Preprocessing(**model.config.preprocessing)
        retrain(
            model, recipe, sets.train, sets.validation, folder,
            preprocessing=preprocessing, on_event=_say(f"{name} at half size"),
        )  # fmt: skip
        rmeeto.save_model(model, folder / "model")
    return folder / "model"


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
