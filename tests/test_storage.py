"""Files are wholly there or untouched, whatever goes wrong on the way."""

import errno
import os

import pytest

from rmeeto.errors import StorageError
from rmeeto.storage import write_all_atomic, write_atomic


def test_writes_text_and_bytes_and_makes_folders(tmp_path):
    assert write_atomic(tmp_path / "a" / "b.txt", "größer").read_text("utf-8") == "größer"
    assert write_atomic(tmp_path / "c.bin", b"\x00\xff").read_bytes() == b"\x00\xff"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b.txt", "c.bin"]


def test_replaces_an_older_file(tmp_path):
    write_atomic(tmp_path / "x", "old")
    write_atomic(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch, code):
    write_all_atomic({tmp_path / "x": "old", tmp_path / "y": "old"})
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:  # the second file of the group fails after the first was written
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        write_all_atomic({tmp_path / "x": "new", tmp_path / "y": "new"})
    assert len(str(caught.value).splitlines()) == 3
    assert str(tmp_path / "y") in str(caught.value)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"x": "old", "y": "old"}


def test_a_real_file_size_limit_is_a_storage_error(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match="ulimit"):
            write_atomic(tmp_path / "x", b"0" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageError, match=r"asked: to write a file\ngiven: .*x"):
        write_atomic(tmp_path / "x" / "y", "")
