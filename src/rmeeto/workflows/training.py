"""A training as others see it: a progress bar while it runs, and what the record must say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..retrain import Advanced, Recipe, Trained, Validated
from .ui import Bar


def watch(bar: Bar):
    """An ``on_event`` callback for `retrain` that keeps ``bar`` up to date."""
    shown = {"train": "", "val": ""}

    def on_event(event) -> None:
        if isinstance(event, Trained):
            shown["train"] = (
                f"loss {event.loss:.3f}  acc {100 * event.accuracy:.1f} %  {event.images_per_second:.0f} img/s"
            )
        elif isinstance(event, Validated):
            best = max(a for a in (event.accuracy, event.ema_accuracy) if a is not None)
            shown["val"] = f"  val {100 * best:.2f} %"
        elif isinstance(event, Advanced):
            bar.update(event.fraction, 1.0, shown["train"] + shown["val"])

    return on_event


def training_notes(recipe: Recipe, result: Mapping[str, Any]) -> list[str]:
    """What the user should know of a finished training: its warnings, and a guard that ended it.

    Args:
        recipe: what it was trained by.
        result: the fields of its `RetrainResult`, as plain values.
    """
    notes, ended = list(result.get("warnings", ())), _GUARDS.get(result["stopped_by"])
    if ended is not None:
        limit, what = ended
        notes.append(
            f"the training was stopped at step {result['steps']}: {what.format(getattr(recipe, limit))} in validation; "
            f"the weights of step {result['kept_step']} were kept"
        )
    return notes


_GUARDS = {
    "accuracy": ("max_drop", "accuracy fell more than {:g} points below its best"),
    "class": ("max_class_drop", "a class lost more than twice the {:g} points that it may lose"),
}
"""What stopped a training early → the limit's name in the recipe, and in words."""
