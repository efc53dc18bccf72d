"""A small set of images that a model can learn, as an .npz folder."""

from pathlib import Path

import numpy as np
import pytest


def striped(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noisy 32×32 images of three classes: horizontal stripes, vertical stripes, neither."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 120, (count, 32, 32, 3))
    wave = 100 * (np.arange(32) // 4 % 2)
    images[labels == 0] += wave[:, None, None]
    images[labels == 1] += wave[None, :, None]
    return {"images": images.astype(np.uint8), "labels": labels, "classes": np.array(["h", "v", "none"])}


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Folder with train.npz, val.npz and test.npz."""
    folder = tmp_path_factory.mktemp("striped")
    for seed, (split, count) in enumerate({"train": 96, "val": 24, "test": 48}.items()):
        np.savez(folder / f"{split}.npz", **striped(count, seed))
    return folder
