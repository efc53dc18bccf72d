"""Folders of images made here: splits, hidden files, kinds of images, damage."""

import numpy as np
import pytest
from PIL import Image

from rmeeto.data import available_splits, open_source
from rmeeto.errors import DataError


def picture(path, mode="RGB", size=(6, 4), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(array)
    image = image if mode == "RGBA" else image.convert("RGB").convert(mode)
    image.save(path)
    return image


def test_classes_sorted_and_hidden_files_ignored(tmp_path):
    for name in ("dog/b.png", "dog/a.PNG", "cat/deep/er.png", "cat/.hidden.png", "cat/.dir/x.png"):
        picture(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / ".git").mkdir()
    source = open_source(tmp_path, "train")
    assert source.classes == ["cat", "dog"]
    assert source.labels.tolist() == [0, 1, 1]
    assert [source.item_name(i) for i in range(3)] == [
        str(tmp_path / name) for name in ("cat/deep/er.png", "dog/a.PNG", "dog/b.png")
    ]
    assert available_splits(tmp_path) == ()


def test_splits(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "valid/b/1.png", "test/a/1.png", "test/b/1.png"):
        picture(tmp_path / name)
    assert available_splits(tmp_path) == ("train", "val", "test")
    validation = open_source(tmp_path, "val")
    assert validation.classes == ["a", "b"]
    assert validation.labels.tolist() == [1]  # labels are train's, though a has no image here
    picture(tmp_path / "test" / "c" / "1.png")
    with pytest.raises(DataError, match="c only in test"):
        open_source(tmp_path, "test")


def test_missing_split(tmp_path):
    picture(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(DataError, match="it has train"):
        open_source(tmp_path, "test")


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [("RGB", "png", 3), ("L", "png", 1), ("1", "png", 1), ("LA", "png", 1), ("P", "png", 3),
     ("RGBA", "png", 3), ("L", "jpg", 1), ("CMYK", "jpg", 3), ("RGB", "bmp", 3), ("RGB", "ppm", 3)],
)  # fmt: skip
def test_kinds_of_images(tmp_path, mode, suffix, channels):
    image = picture(tmp_path / "a" / f"1.{suffix}", mode)
    array = open_source(tmp_path, "test").image(0)
    assert array.dtype == np.uint8
    assert array.shape == (4, 6, channels)
    if suffix != "jpg":
        assert (array == np.asarray(image.convert("RGB"))[..., :channels]).all()


def test_sixteen_bit_grey_keeps_its_upper_byte(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a" / "1.png")
    assert open_source(tmp_path, "test").image(0)[..., 0].tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"%!PS-Adobe-3.0 EPSF"]
)
def test_damaged_image_is_named(tmp_path, damage):
    picture(tmp_path / "a" / "1.png", size=(60, 40))
    path = tmp_path / "a" / "1.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"a/1\.png"):
        open_source(tmp_path, "test").image(0)


def test_vanished_image_counts_as_corrupt(tmp_path):
    picture(tmp_path / "a" / "1.png")
    source = open_source(tmp_path, "test")
    (tmp_path / "a" / "1.png").unlink()
    source.fingerprint()
    with pytest.raises(DataError, match="FileNotFoundError"):
        source.image(0)


def test_huge_image_counts_as_corrupt(tmp_path, monkeypatch):
    picture(tmp_path / "a" / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(DataError, match="Decompression"):
        open_source(tmp_path, "test").image(0)


def test_empty_class(tmp_path):
    picture(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b has none") as caught:
        open_source(tmp_path, "train")
    assert len(str(caught.value).splitlines()) == 3


def test_flat_folder(tmp_path):
    picture(tmp_path / "1.png")
    with pytest.raises(DataError, match="one sub-folder a class"):
        open_source(f"folder:{tmp_path}", "train")
    with pytest.raises(DataError, match="found none of"):
        open_source(tmp_path, "train")


def test_fingerprint_follows_the_content_not_the_place(tmp_path):
    for root in ("x", "y"):
        for i in range(3):
            picture(tmp_path / root / "a" / f"{i}.png", seed=i)
    one, two = (open_source(tmp_path / root, "train").fingerprint() for root in ("x", "y"))
    assert one == two
    assert len(one) == 16
    picture(tmp_path / "y" / "a" / "1.png", seed=9)
    assert open_source(tmp_path / "y", "train").fingerprint() != one
