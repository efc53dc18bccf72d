"""Make the embedded demonstration set from the official Fashion-MNIST files.

    python tools/make_demo_data.py FOLDER_WITH_IDX_FILES [--out src/rmeeto/data/demo]

The result is the same, byte for byte, wherever the xz library is the same.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from rmeeto.data import ImageSource, Subset, hold_out_last, open_source, take
from rmeeto.data.demo import OFFICIAL, PACK, UNSEEN, VALIDATION_IMAGES, pack

TRAIN_IMAGES, VAL_IMAGES, TEST_IMAGES, UNSEEN_IMAGES = 14_000, 1_000, 5_000, 1_000
MOST_BYTES = 8_000_000

LICENSE = """\
fashion_mnist_demo.npz holds part of Fashion-MNIST
(https://github.com/zalandoresearch/fashion-mnist): Xiao, Rasul, Vollgraf, "Fashion-MNIST: a
Novel Image Dataset for Benchmarking Machine Learning Algorithms", arXiv:1708.07747. It is
distributed under its licence:

The MIT License (MIT)

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this
software and associated documentation files (the "Software"), to deal in the Software
without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons
to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
DEALINGS IN THE SOFTWARE.
"""


def select(folder: Path) -> dict[str, tuple[ImageSource, np.ndarray]]:
    """Each split's source and the positions taken from it, in the official order."""
    train, test = (open_source(f"idx:{folder}", split) for split in ("train", "test"))
    for_training, validation = hold_out_last(train, VALIDATION_IMAGES)
    return {
        "train": (train, take(_of(for_training, known=True), TRAIN_IMAGES).indices),
        "val": (train, take(_of(validation, known=True), VAL_IMAGES).indices),
        "test": (test, take(_of(test, known=True), TEST_IMAGES).indices),
        "unseen": (test, take(_of(test, known=False), UNSEEN_IMAGES).indices),
    }


def _of(source: ImageSource, known: bool) -> Subset:
    held_out = [OFFICIAL.index(name) for name in UNSEEN]
    return Subset(source, np.flatnonzero(np.isin(source.labels, held_out) != known))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Like np.savez, with a fixed date, so that equal arrays give equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w") as stream:
                npy.write_array(stream, array, allow_pickle=False)


def main() -> None:
    """Write the pack and its licence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds the four official idx files")
    parser.add_argument("--out", type=Path, default=Path("src/rmeeto/data/demo"))
    options = parser.parse_args()
    arrays = {}
    for split, (source, positions) in select(options.folder).items():
        arrays[f"{split}_images"] = pack(source.images[positions])
        arrays[f"{split}_labels"] = source.labels[positions].astype(np.uint8)
        arrays[f"{split}_positions"] = positions.astype(np.uint16)
    options.out.mkdir(parents=True, exist_ok=True)
    write_npz(options.out / PACK, arrays)
    (options.out / "LICENSE.txt").write_text(LICENSE)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    if size > MOST_BYTES:
        raise SystemExit(f"{size:,} bytes are more than {MOST_BYTES:,}")


if __name__ == "__main__":
    main()
