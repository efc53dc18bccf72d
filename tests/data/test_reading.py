"""Finding a reader for a path, and third-party readers."""

import numpy as np
import pytest

from rmeeto.data import SOURCES, ArraySource, ImageSource, Reader, available_splits, open_source
from rmeeto.errors import DataError


def lines(error):
    return str(error.value).splitlines()


def test_missing_path_names_the_nearest_that_exists(tmp_path):
    with pytest.raises(DataError) as caught:
        open_source(tmp_path / "no" / "where", "train")
    assert len(lines(caught)) == 3
    assert str(tmp_path) in lines(caught)[2]
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(f"idx:{tmp_path}/no", "train")


def test_unknown_format_lists_what_was_looked_for(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    for spec in (tmp_path, tmp_path / "readme.txt"):
        with pytest.raises(DataError) as caught:
            open_source(spec, "train")
        for word in ("idx3-ubyte", "CIFAR", ".npz", "sub-folder"):
            assert word in lines(caught)[2]


def test_misspelt_reader(tmp_path):
    with pytest.raises(DataError, match="did you mean folder"):
        open_source(f"foldr:{tmp_path}", "train")
    with pytest.raises(DataError, match="takes no path"):
        open_source("demo:x", "train")


def test_a_named_set_wins_over_a_folder_of_that_name_only_as_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    np.savez(tmp_path / "demo" / "train.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    assert open_source("demo", "train").name == "demo/train"
    assert len(open_source(tmp_path / "demo", "train")) == 2
    assert len(open_source("./demo", "train")) == 2


def test_third_party_reader(tmp_path, monkeypatch):
    source = ArraySource(np.zeros((3, 4, 4), np.uint8), [0, 1, 0], ["a", "b"], "mine")
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    assert "idx" in SOURCES  # ours are loaded first
    reader = Reader(
        "*.mine", lambda p: ("train",) if p.suffix == ".mine" else None, lambda *_: source
    )
    SOURCES.add("mine", reader)
    (tmp_path / "x.mine").touch()
    assert open_source(tmp_path / "x.mine", "train") is source
    assert open_source(f"mine:{tmp_path}", "train") is source
    assert available_splits(tmp_path / "x.mine") == ("train",)


def test_sources_keep_the_protocol():
    assert isinstance(open_source("demo", "val"), ImageSource)
