"""Training events as a progress bar: loss, accuracy, images a second, time left."""

from __future__ import annotations

from ..retrain import Advanced, Trained, Validated
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
