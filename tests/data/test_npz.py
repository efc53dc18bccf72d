"""NumPy archives of pixels and of JPEG segments."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rmeeto.data import available_splits, cache, open_source
from rmeeto.errors import DataError

SHARED = Path(__file__).parents[3] / "shared" / "data"


def save(path, count=6, seed=0, **more):
    images = np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 2, **more)
    return images


def save_pack(path, count=5, spoil=None, **more):
    """A JPEG pack: one header, the scans in a row; returns the decoded images."""
    rng, scans, decoded, header = np.random.default_rng(1), [], [], None
    for _ in range(count):
        stream = io.BytesIO()
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG", quality=75)
        data = stream.getvalue()
        start = data.index(b"\xff\xda") + 14  # marker, length 12 for three components
        header, scan = data[:start], data[start:]
        decoded.append(np.asarray(Image.open(io.BytesIO(data))))
        scans.append(scan)
    if spoil is not None:
        scans[spoil] = scans[spoil][: len(scans[spoil]) // 2]
    offsets = np.cumsum([0, *map(len, scans)])
    arrays = {
        "header": np.frombuffer(header, np.uint8),
        "scan": np.frombuffer(b"".join(scans), np.uint8),
        "offsets": offsets,
        "labels": np.arange(count) % 2,
        "classes": np.array(["a", "b"]),
    }
    np.savez(path, **arrays | more)
    return np.stack(decoded)


def test_folder_of_splits(tmp_path):
    train, test = save(tmp_path / "train.npz", 6, 0), save(tmp_path / "test.npz", 4, 1)
    assert available_splits(tmp_path) == ("train", "test")
    assert (open_source(tmp_path, "train").images == train).all()
    assert (open_source(tmp_path, "test").images == test).all()
    with pytest.raises(DataError, match="it has train, test"):
        open_source(tmp_path, "val")


def test_file_named_by_a_split_never_stands_for_another(tmp_path):
    save(tmp_path / "train.npz")
    assert len(open_source(tmp_path / "train.npz", "train")) == 6
    with pytest.raises(DataError, match="it has train"):
        open_source(tmp_path / "train.npz", "test")
    test = save(tmp_path / "test.npz", 3, 1)
    assert (open_source(f"npz:{tmp_path / 'train.npz'}", "test").images == test).all()


def test_file_of_another_name_is_undivided(tmp_path):
    save(tmp_path / "shapes.npz", classes=np.array(["x", "y"]))
    assert available_splits(tmp_path / "shapes.npz") == ()
    source = open_source(tmp_path / "shapes.npz", "test")
    assert len(source) == 6
    assert source.classes == ["x", "y"]


def test_jpeg_pack_decodes_like_whole_files(tmp_path):
    decoded = save_pack(tmp_path / "test.npz")
    source = open_source(tmp_path, "test")
    assert (np.stack([source.image(i) for i in range(5)]) == decoded).all()
    assert source.classes == ["a", "b"]
    kept = cache(source)
    assert (kept.images == decoded).all()
    assert kept.fingerprint() == source.fingerprint()


def test_truncated_image_of_a_pack(tmp_path):
    save_pack(tmp_path / "test.npz", spoil=2)
    source = open_source(tmp_path, "test")
    source.image(1)
    with pytest.raises(DataError, match=r"\[2\]"):
        source.image(2)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the image sets in ../shared/data are not here")
def test_published_pack_decodes_as_its_own_reader_does():
    spec = importlib.util.spec_from_file_location("shared_load", SHARED / "load.py")
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    expected = reader.load("cifar10", "test", limit=50)
    source = open_source(SHARED / "cifar10", "test")
    assert (np.stack([source.image(i) for i in range(50)]) == expected["images"]).all()
    assert (source.labels[:50] == expected["labels"]).all()
    assert source.classes == expected["classes"]


@pytest.mark.parametrize(
    "offsets", [[0, 9, 3, 20, 30, 40], [0, 1, 2, 3, 4, 10**9], [-1, 1, 2, 3, 4, 5]]
)
def test_offsets_outside_the_scan(tmp_path, offsets):
    save_pack(tmp_path / "test.npz", offsets=np.array(offsets))
    with pytest.raises(DataError, match="offsets"):
        open_source(tmp_path, "test")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.array([Bomb()], dtype=object), labels=np.zeros(1, int))
    with pytest.raises(DataError, match="plain arrays"):
        open_source(tmp_path / "x.npz", "train")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_damaged_archive(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="NumPy archive"):
        open_source(tmp_path / "x.npz", "train")


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros(3)},
        {"images": np.zeros((2, 4, 4), np.uint8)},
        {"images": np.zeros((2, 4, 4), np.float32), "labels": np.zeros(2, int)},
        {"images": np.zeros((2, 4, 4, 4), np.uint8), "labels": np.zeros(2, int)},
        {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(2)},
        {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, -1])},
        {"images": np.zeros((0, 4, 4), np.uint8), "labels": np.zeros(0, int)},
    ],
)
def test_arrays_that_are_no_image_set(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError):
        open_source(tmp_path / "x.npz", "train")


def test_a_bare_file_name_still_tells_the_folder(tmp_path, monkeypatch):
    np.savez(tmp_path / "things.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.arange(2))
    monkeypatch.chdir(tmp_path)
    assert open_source("things.npz", "test").name == f"{tmp_path.name}/things"
