"""IDX files written here, whole and damaged."""

import gzip

import numpy as np
import pytest

from rmeeto.data import available_splits, open_source
from rmeeto.data.idx import read_idx
from rmeeto.errors import DataError


def idx_bytes(array):
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.tobytes()


def write(folder, stem="train", count=6, suffix=".gz", separator="-", labels=None):
    images = np.random.default_rng(len(stem)).integers(0, 256, (count, 5, 4), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 3 if labels is None else labels
    pack = gzip.compress if suffix else bytes
    for kind, array in (("images", images), ("labels", labels)):
        name = f"{stem}-{kind}{separator}idx{array.ndim}-ubyte{suffix}"
        (folder / name).write_bytes(pack(idx_bytes(array)))
    return images, labels


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_reads_both_splits(tmp_path, suffix, separator):
    train, _ = write(tmp_path, "train", 6, suffix, separator)
    test, labels = write(tmp_path, "t10k", 4, suffix, separator)
    assert available_splits(tmp_path) == ("train", "test")
    source = open_source(tmp_path, "test")
    assert (source.images[..., 0] == test).all()
    assert (source.labels == labels).all()
    assert source.labels.dtype == np.int64
    assert source.classes == ["0", "1", "2"]
    assert source.image(1).shape == (5, 4, 1)
    assert (open_source(f"idx:{tmp_path}", "train").images[..., 0] == train).all()


def test_class_names(tmp_path):
    write(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\nhot dog\nox\n\n")
    assert open_source(tmp_path, "train").classes == ["cat", "hot dog", "ox"]
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"labels in 0\.\.0"):
        open_source(tmp_path, "train")


def test_missing_split_says_what_there_is(tmp_path):
    write(tmp_path)
    with pytest.raises(DataError, match="it has train"):
        open_source(tmp_path, "val")


def test_missing_labels(tmp_path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="labels"):
        open_source(tmp_path, "train")


def test_labels_of_another_split(tmp_path):
    write(tmp_path, labels=np.zeros(5, np.uint8))
    with pytest.raises(DataError, match="one integer label for each of 6 images"):
        open_source(tmp_path, "train")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:2], lambda b: b"PK" + b]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_file(tmp_path, damage, suffix):
    write(tmp_path, suffix=suffix)
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="a whole IDX file"):
        open_source(f"idx:{tmp_path}", "train")


def test_gzip_with_a_short_array_inside(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((3, 2, 2), np.uint8))[:-1]))
    with pytest.raises(DataError, match="27 bytes where"):
        read_idx(path)
