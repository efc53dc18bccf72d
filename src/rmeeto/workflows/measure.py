"""Measurements as the metrics, series and pictures of a record; every command shares these."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..backbones import Backbone
from ..data import ImageSource, Preprocessing, as_image
from ..evaluation import Interval, Predictions, paired_difference, predict
from ..profiling import ImageInput, NoiseInput, SpeedResult, Stop, compare_speed, count_flops
from ..reporting import LayerTokens, MergePicture, Metric, Point
from ..reporting.figures import merge_picture, patch_sources
from .folder import RunFolder
from .options import DataOptions, SpeedOptions
from .ui import Watcher


def evaluate_stage(
    folder: RunFolder, stage: str, model: Backbone, source: ImageSource,
    preprocessing: Preprocessing, data: DataOptions, ui: Watcher,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:  # fmt: skip
    """Logits, labels and skipped images of one pass, kept in the run folder.

    Returns:
        (n, K) logits, (n,) labels, and the skip report of the record.
    """

    def compute() -> dict[str, np.ndarray]:
        with ui.bar(f"evaluate {stage}") as bar:
            found = predict(
                model, source, preprocessing, data.batch_size, data.workers,
                on_progress=lambda done, total: bar.update(done, total, f"{done}/{total} images"),
            )  # fmt: skip
        skips[stage] = found.skipped.to_record()
        return _arrays(found)

    skips: dict[str, Any] = {}
    arrays = folder.arrays(stage, compute)
    skipped = folder.value(f"{stage}_skipped", lambda: skips[stage])
    return arrays["logits"], arrays["labels"], skipped


def _arrays(found: Predictions) -> dict[str, np.ndarray]:
    return {"logits": found.logits, "labels": found.labels, "ids": found.ids}


def image_seconds(model: Backbone, source: ImageSource, preprocessing: Preprocessing) -> float:
    """Seconds that one image takes in evaluation, from two timed batches of up to 16."""
    images = ImageInput(source, preprocessing)(min(16, len(source)))
    with torch.inference_mode():
        model(images)
        began = time.perf_counter()
        model(images)
    return (time.perf_counter() - began) / len(images)


def interval_metric(name: str, interval: Interval, group: str, **extra: Any) -> Metric:
    """A metric from an `Interval`."""
    unit = {"pt": "points"}.get(interval.unit, interval.unit)
    return Metric(
        name, interval.value, unit, low=interval.low, high=interval.high, group=group, **extra
    )


def paired_change(base: np.ndarray, other: np.ndarray, name: str, group: str, seed: int) -> Metric:
    """Change in accuracy against the baseline on the same images, in points."""
    difference = paired_difference(other, base, seed=seed)
    note = "paired bootstrap over the same images"
    return interval_metric(name, difference, group, note=note)


def cost_metrics(model: Backbone, group: str) -> tuple[list[Metric], LayerTokens]:
    """FLOPs in both conventions, tokens and parameters of what runs."""
    paper, full = count_flops(model, "paper"), count_flops(model, "full")
    tokens = paper.tokens
    metrics = [
        Metric("gflops_paper", paper.gflops, "GMACs", "lower", group=group,
               note="MACs, one scan direction, as published"),
        Metric("gflops_full", full.gflops, "GMACs", "lower", group=group,
               note="MACs, both scan directions"),
        Metric("tokens_mean", sum(tokens) / len(tokens), "", "lower", group=group),
        Metric("tokens_last", tokens[-1], "", "lower", group=group),
        Metric("parameters", sum(p.numel() for p in model.parameters()), "", "lower", group=group),
    ]  # fmt: skip
    return metrics, LayerTokens(group, tuple(tokens))


def measure_speed(
    models: Mapping[str, Backbone], source: ImageSource | None, options: SpeedOptions, ui: Watcher
) -> SpeedResult:
    """Interleaved timing of models, the first one being the baseline."""
    base = next(iter(models.values()))
    make = (
        ImageInput(source, Preprocessing(**base.config.preprocessing)) if source else _noise(base)
    )
    return compare_speed(
        models, make, options.batches, Stop(budget_seconds=options.speed_seconds),
        flops={k: count_flops(m, "full").macs for k, m in models.items()},
        precision=options.speed_precision,
        on_estimate=lambda cost: ui.note(f"measuring speed: {cost}"),
    )  # fmt: skip


def _noise(model: Backbone) -> NoiseInput:
    size = model.config.img_size
    return NoiseInput(size if isinstance(size, int) else size[0], model.config.in_chans)


def speed_metrics(result: dict[str, Any], groups: Mapping[str, str]) -> list[Metric]:
    """Images a second, latency percentiles and ratios; ``groups`` maps labels to stages."""
    metrics = []
    for t in result["timings"]:
        batch, group = t["batch_size"], groups[t["label"]]
        metrics.append(Metric(f"images_per_s@{batch}", t["images_per_second"], "images/s",
                              low=batch / t["p80"], high=batch / t["p20"], group=group,
                              note="median; 20th to 80th percentile"))  # fmt: skip
        for name, key in (
            ("latency_p50", "median"),
            ("latency_p80", "p80"),
            ("latency_p95", "p95"),
        ):
            metrics.append(Metric(f"{name}@{batch}", 1000 * t[key], "ms", "lower", group=group))
    for s in result["speedups"]:
        ratio, group = s["ratio"], groups[s["label"]]
        metrics.append(Metric(f"speedup@{s['batch_size']}", ratio["value"], "×", low=ratio["low"],
                              high=ratio["high"], group=group, note="median of interleaved pairs"))  # fmt: skip
        metrics.append(Metric(f"flops_ceiling_realised@{s['batch_size']}", 100 * s["realised"], "%",
                              group=group, note="speed-up over the ratio of FLOPs (full)"))  # fmt: skip
    return metrics


def pictures(
    model: Backbone, source: ImageSource, preprocessing: Preprocessing, count: int
) -> list[MergePicture]:
    """Which patches share a token after a third, two thirds and all of the blocks."""
    slots = model.patch_slots().numpy()
    depth = len(model.block_list())
    shown = sorted({max(1, depth // 3), max(1, 2 * depth // 3), depth})
    made = []
    for index in range(min(count, len(source))):
        image = source.image(index)
        batch = torch.from_numpy(preprocessing.apply(image))[None]
        with torch.inference_mode():
            states = model.forward_intermediates(batch, [k - 1 for k in shown])
        views = {
            f"after block {k}": patch_sources(state.source[0].numpy(), slots)
            for k, state in zip(shown, states, strict=True)
        }
        title = f"{source.item_name(index)}: {source.classes[int(source.labels[index])]}"
        made.append(merge_picture(title, as_image(image), model.grid, views))
    return made


def curve_points(rows: Sequence[dict[str, Any]], x: str) -> tuple[Point, ...]:
    """Points of a curve over r, or of ``x`` in general."""
    return tuple(
        Point(row[x], row["value"], row["low"], row["high"], f"r = {row['r']}") for row in rows
    )
