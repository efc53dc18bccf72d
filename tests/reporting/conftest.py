"""A made-up run with every part of a record filled in."""

import math

import numpy as np
import pytest

from rmeeto.reporting import (
    LayerTokens,
    Metric,
    Point,
    RunRecord,
    Series,
    Table,
    Verdict,
)
from rmeeto.reporting.figures import merge_picture

STAGES = ("baseline", "reduced", "retrained")
REMOVED = (0, 5, 10, 11, 15, 20)


def scene(size: int = 56, seed: int = 0) -> np.ndarray:
    """A small landscape: sky, hill, sun and a little noise, uint8 (size, size, 3)."""
    rows, columns = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    image = np.stack([120 + 60 * rows, 170 + 30 * rows, 230 - 20 * rows], -1)
    hill = rows > 0.62 + 0.12 * np.sin(5 * columns + seed)
    image[hill] = (70, 120, 60)
    image[(rows - 0.25) ** 2 + (columns - 0.3 - 0.1 * seed) ** 2 < 0.02] = (250, 220, 120)
    noise = np.random.default_rng(seed).normal(0, 9, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def merged_sources(image: np.ndarray, grid: int, removed: int, dropped: int = 0) -> np.ndarray:
    """Patches joined greedily to similar neighbours in scan order, a few of the last dropped."""
    cell = image.shape[0] // grid
    means = image.reshape(grid, cell, grid, cell, 3).mean((1, 3)).reshape(-1, 3)
    source = np.arange(grid * grid)
    gaps = np.abs(means[1:] - means[:-1]).sum(-1)
    for i in np.argsort(gaps)[:removed]:
        source[source == source[i + 1]] = source[i]
    source[grid * grid - dropped :] = -1
    return source


def _metrics() -> list[Metric]:
    top1 = ((74.91, 0.85), (68.73, 0.91), (74.60, 0.86))
    top5 = ((97.80, 0.30), (96.11, 0.38), (97.65, 0.31))
    metrics = []
    for stage, (one, h1), (five, h5) in zip(STAGES, top1, top5, strict=True):
        metrics.append(Metric("top1", one, "%", "higher", one - h1, one + h1, group=stage))
        metrics.append(Metric("top5", five, "%", "higher", five - h5, five + h5, group=stage))
    for stage, change, half in (("reduced", -6.18, 0.55), ("retrained", -0.31, 0.42)):
        metrics.append(
            Metric(
                "top1_change",
                change,
                "points",
                "higher",
                change - half,
                change + half,
                "same images, bootstrap",
                stage,
            )
        )
    metrics.append(
        Metric("gain_over_size_line", 2.4, "points", "higher", 1.6, 3.2, group="retrained")
    )
    for batch, base, ours in ((1, 61.2, 58.9), (32, 173.0, 231.8), (128, 181.4, 249.0)):
        for stage in STAGES:
            rate = base if stage == "baseline" else ours
            metrics.append(Metric(f"images_per_s@{batch}", rate, "", group=stage))
        metrics.append(
            Metric(
                f"speedup@{batch}",
                ours / base,
                "×",
                "higher",
                ours / base - 0.02,
                ours / base + 0.02,
                group="retrained",
            )
        )
        metrics.append(Metric(f"speedup@{batch}", ours / base, "×", group="reduced"))
    for name, base, ours, unit in (
        ("latency_p50@1", 16.3, 17.0, "ms"),
        ("latency_p95@1", 18.1, 19.2, "ms"),
        ("gflops_paper", 1.45, 1.04, "GMACs"),
        ("gflops_full", 1.82, 1.31, "GMACs"),
        ("tokens_mean", 197, 136.6, ""),
        ("tokens_last", 197, 76, ""),
        ("peak_memory", 812.4, 640.8, "MiB"),
    ):
        for stage in STAGES:
            value = base if stage == "baseline" else ours
            metrics.append(Metric(name, value, unit, "lower", group=stage))
    note = "images with the same answer"
    metrics.append(Metric("agreement", 91.2, "%", note=note, group="Audit"))
    return metrics


def _sweep() -> list[Series]:
    accuracy = {
        "merge + re-train": (74.9, 74.9, 74.6, 74.6, 73.2, 70.4),
        "merge, training-free": (74.9, 73.6, 70.1, 68.7, 61.0, 43.9),
        "prune, training-free": (74.9, 73.2, 68.8, 66.9, 56.2, 31.5),
    }
    speed = (173.0, 168.4, 214.9, 231.8, 268.0, 301.3)
    series = []
    for name, values in accuracy.items():
        points = [(r, v, v - 0.9, v + 0.9) for r, v in zip(REMOVED, values, strict=True)]
        series.append(
            Series(
                name,
                "Tokens removed a layer, r",
                "Top-1 accuracy, %",
                points,
                group="Accuracy against r",
            )
        )
    for name, values in list(accuracy.items())[:2]:
        points = [
            Point(s, v, v - 0.9, v + 0.9, f"r = {r}")
            for r, s, v in zip(REMOVED, speed, values, strict=True)
            if r
        ]
        series.append(
            Series(
                name,
                "Images per second, batch 32",
                "Top-1 accuracy, %",
                points,
                group="Accuracy against measured speed",
            )
        )
    series.append(
        Series(
            "baseline",
            "Images per second, batch 32",
            "Top-1 accuracy, %",
            [Point(173.0, 74.9, 74.0, 75.8, "no merging")],
            "scatter",
            "Accuracy against measured speed",
        )
    )
    for name, values in (("merge", (74.6, 0.1, 71.0)), ("shuffled", (41.2, 0.2, 66.0))):
        labels = ("in scan order", "odd–even order", "re-trained")
        points = [
            Point(i, v, None, None, label)
            for i, (v, label) in enumerate(zip(values, labels, strict=True))
        ]
        series.append(Series(name, "", "Top-1 accuracy, %", points, "bar", "Order of the tokens"))
    return series


def _pictures() -> list:
    pictures = []
    for seed in range(2):
        image = scene(seed=seed)
        sources = {
            "after block 6": merged_sources(image, 14, 33),
            "after block 12": merged_sources(image, 14, 66),
            "at the end": merged_sources(image, 14, 121, dropped=9 * seed),
        }
        pictures.append(
            merge_picture(f"Landscape {seed}", image, (14, 14), sources, "labelled hill, told hill")
        )
    return pictures


@pytest.fixture
def full_record() -> RunRecord:
    """Every part filled in, with numbers that look like a run but are none."""
    return make_record()


def make_record() -> RunRecord:
    reduced = [197, 197]
    for _ in range(11):
        reduced += [reduced[-1] - 11] * 2
    history = [
        {
            "epoch": e / 4,
            "train_loss": 0.9 + 0.8 * math.exp(-e / 6),
            **(
                {
                    "val_loss": 0.82 + 0.4 * math.exp(-e / 5),
                    "val_top1": 74.6 - 5.9 * math.exp(-e / 3),
                }
                if e % 2 == 0
                else {}
            ),
        }
        for e in range(1, 13)
    ]
    return RunRecord(
        command="rebuild",
        created="2025-03-14T09:26:53+00:00",
        code_version="0.1.0 (3f2c1ab)",
        config={
            "model": "vim_tiny_patch16_224",
            "data": "CIFAR-10, test",
            "batch_size": 128,
            "reduction": {"name": "rmeeto", "r": 11, "sites": "even", "distance": "cosine"},
            "recipe": {"epochs": 3, "lr": 2e-5, "weight_decay": 0.05},
            "ema": False,
        },
        fingerprint="9c1f0a7be2d45830",
        machine={
            "cpu": "AMD EPYC 7B13, 2 cores",
            "memory_gib": 7.8,
            "torch": "2.13.0",
            "threads": 2,
            "backend": "native (x86-64-v3)",
        },
        seeds={"init": 0, "order": 1, "bootstrap": 7},
        metrics=_metrics(),
        tables=[
            Table(
                "Costs by part",
                ("Part", "ms", "Share, %"),
                [("matching", 1.9, 8.1), ("merging", 0.7, 3.0), ("blocks", 20.8, 88.9)],
                "One forward at batch 1.",
            )
        ],
        series=_sweep(),
        history=history,
        tokens_per_layer=[LayerTokens("baseline", [197] * 24), LayerTokens("reduced", reduced)],
        pictures=_pictures(),
        timings={"load": 2.1, "retrain": 246.0, "evaluate": 71.4},
        skipped={"corrupt": ["n01440764_18.JPEG", "n02102040_7.JPEG"]},
        warnings=["Slower than the baseline at batch 1 (0.96×): too few tokens are saved there."],
        verdicts=[
            Verdict("A short re-training recovers most of the loss", "holds", "94 %"),
            Verdict("Merging is faster at every batch size", "fails", "0.96× at batch 1"),
            Verdict("The teacher helps", "not verified"),
        ],
    )
