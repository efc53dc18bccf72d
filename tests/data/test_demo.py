"""The embedded set: what is in it, its licence and size, and that it equals the official files."""

import hashlib
import importlib.util
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from rmeeto.data import available_splits, open_source
from rmeeto.data.demo import CLASSES, OFFICIAL, UNSEEN, VALIDATION_IMAGES, pack, read_pack, unpack
from rmeeto.errors import DataError

ROOT = Path(__file__).parents[2]
FILES = ROOT.parent / "shared" / "data" / "fashion_mnist"
SPLITS = {"train": 14_000, "val": 1_000, "test": 5_000}
DIGESTS = {"train": "b58609c3a051a05e", "val": "416c563c67545653", "test": "db0241f0ba2610bd"}

official = pytest.mark.skipif(
    not FILES.is_dir(), reason="the official files (../shared/data/fashion_mnist) are not here"
)


@pytest.fixture(scope="module")
def demo():
    return {split: open_source("demo", split) for split in SPLITS}


@pytest.mark.parametrize("split", SPLITS)
def test_content(demo, split):
    source = demo[split]
    assert source.images.shape == (SPLITS[split], 28, 28, 1)
    assert source.classes == list(CLASSES)
    assert np.bincount(source.labels).tolist() == [SPLITS[split] // 8] * 8
    assert abs(source.images.mean() / 255 - 0.272) < 0.005  # of all ten classes: 0.286, as published


def test_checksums(demo):
    digests = {
        split: hashlib.sha256(demo[split].images.tobytes()).hexdigest()[:16] for split in SPLITS
    }
    assert digests == DIGESTS


def test_splits():
    assert available_splits("demo") == tuple(SPLITS)
    with pytest.raises(DataError, match="it has train, val, test"):
        open_source("demo", "extra")


def test_no_image_is_in_two_splits(demo):
    seen = [{image.tobytes() for image in demo[split].images} for split in SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_size_and_licence():
    folder = resources.files("rmeeto.data") / "demo"
    sizes = [len(file.read_bytes()) for file in folder.iterdir() if file.is_file()]
    assert sum(sizes) <= 8_000_000
    licence = folder.joinpath("LICENSE.txt").read_text()
    for words in ("MIT License", "Copyright (c) 2017 Zalando SE", "WITHOUT WARRANTY", "1708.07747"):
        assert words in licence


def test_training_images_leave_the_validation_part_alone():
    arrays = read_pack()
    edge = 60_000 - VALIDATION_IMAGES
    assert arrays["train_positions"].max() < edge <= arrays["val_positions"].min()


def test_packing_round_trip():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    assert (unpack(pack(images)) == images).all()
    assert (pack(images) == pack(images)).all()


@official
def test_equals_the_official_files(demo):
    arrays, train = read_pack(), open_source(f"idx:{FILES}", "train")
    test = open_source(f"idx:{FILES}", "test")
    for split, whole in (("train", train), ("val", train), ("test", test)):
        positions = arrays[f"{split}_positions"].astype(int)
        assert (whole.images[positions] == demo[split].images).all()
        assert (whole.labels[positions] == arrays[f"{split}_labels"]).all()
        named = [OFFICIAL[k] for k in arrays[f"{split}_labels"]]
        assert named == [CLASSES[k] for k in demo[split].labels]
    assert [name.lower() for name in test.classes] == list(OFFICIAL)
    unseen = test.labels[arrays["unseen_positions"].astype(int)]
    assert {OFFICIAL[k] for k in unseen} == set(UNSEEN)


@official
def test_the_tool_selects_the_same_images(demo):
    spec = importlib.util.spec_from_file_location(
        "make_demo_data", ROOT / "tools" / "make_demo_data.py"
    )
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    arrays = read_pack()
    chosen = tool.select(FILES)
    for split, (_, positions) in chosen.items():
        assert (positions == arrays[f"{split}_positions"]).all()
    assert (ROOT / "src/rmeeto/data/demo/LICENSE.txt").read_text() == tool.LICENSE



def test_unseen_classes_are_apart(demo):
    arrays = read_pack()
    for name in UNSEEN:
        assert available_splits(f"demo-{name}") == ()
        unseen = open_source(f"demo-{name}", "train")  # one set, whatever is asked for
        assert (unseen.classes, len(unseen)) == ([name], 500)
        assert name not in demo["test"].classes
    assert not set(arrays["unseen_positions"]) & set(arrays["test_positions"])
