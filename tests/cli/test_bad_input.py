"""Broken files, models that do not fit, a full disk: three lines, exit 1, nothing lost or half-written."""

import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import rmeeto
from rmeeto.cli.__main__ import main


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of two classes with a few images each."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for i in range(20):
            image = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / name / f"{i}.png")
    return folder


def command(data, out, *more: str) -> list[str]:
    """A rebuild that takes seconds."""
    return [
        "rebuild", "--model", "vim_test", "--data", str(data), "--out", str(out), "--r", "2", "--max-steps", "2",
        "--train-batch-size", "8", "--curve-images", "0", "--pictures", "0", "--speed-seconds", "0.2",
        "--batches", "1", *more,
    ]  # fmt: skip


def three_lines(text: str) -> list[str]:
    """The error, checked for its form."""
    lines = text.strip().splitlines()[-3:]
    assert [line.split(":")[0] for line in lines] == ["asked", "given", "why"], text
    assert "Traceback" not in text
    return lines


def refused(args: list[str], capsys, *words: str) -> None:
    """Run, expect exit 1 and three lines that name ``words``."""
    assert main(args) == 1
    text = " ".join(three_lines(capsys.readouterr().err))
    for word in words:
        assert word in text, text


def test_truncated_checkpoint(data, tmp_path, capsys):
    file = tmp_path / "cut.pth"
    torch.save(rmeeto.create_model("vim_test").state_dict(), file)
    file.write_bytes(file.read_bytes()[:1000])
    refused(command(data, tmp_path / "out", "--weights", str(file)), capsys, "cut.pth")
    assert not (tmp_path / "out").exists()


def test_checkpoint_of_another_size(data, tmp_path, capsys):
    file = tmp_path / "wide.pth"
    torch.save(rmeeto.create_model("vim_test", embed_dim=64).state_dict(), file)
    refused(command(data, tmp_path / "out", "--weights", str(file)), capsys, "wide.pth")


def test_checkpoint_that_would_run_code(data, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return eval, ("__import__('pathlib').Path('pwned').touch()",)

    file = tmp_path / "evil.pth"
    torch.save({"model": Evil()}, file)
    refused(command(data, tmp_path / "out", "--weights", str(file)), capsys, "evil.pth")
    assert not (tmp_path / "pwned").exists()


def test_empty_class(data, tmp_path, capsys):
    copy = tmp_path / "images"
    shutil.copytree(data, copy)
    (copy / "birds").mkdir()
    refused(command(copy, tmp_path / "out"), capsys, "birds")


def test_a_file_where_the_run_folder_should_be(data, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    refused(command(data, tmp_path / "out"), capsys, "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_corrupt_image_is_named_and_not_fatal(data, tmp_path, capsys):
    copy = tmp_path / "images"
    shutil.copytree(data, copy)
    for split in ("train", "test"):
        (copy / split).mkdir()
        for name in ("cats", "dogs"):
            shutil.copytree(data / name, copy / split / name)
            for i in range(20, 60):
                shutil.copy(data / name / "1.png", copy / split / name / f"{i}.png")
    for name in ("cats", "dogs"):
        shutil.rmtree(copy / name)
    (copy / "test" / "cats" / "7.png").write_bytes(b"\x89PNG broken")
    assert main(["evaluate", "--model", "vim_test", "--data", str(copy), "--out", str(tmp_path / "out")]) == 0
    record = rmeeto.RunRecord.load(tmp_path / "out" / "record.json")
    assert record.skipped["baseline"]["count"] == 1
    assert "7.png" in record.skipped["baseline"]["names"][0]


@pytest.mark.parametrize("limit", [3_000, 40_000, 120_000])
def test_full_disk_loses_nothing_and_resumes(data, tmp_path, limit):
    """Writing stops at ``limit`` bytes a file, as on a full disk; with room again the run goes on."""
    out = tmp_path / "out"
    python = [sys.executable, "-m", "rmeeto.cli.__main__"]
    done = subprocess.run(
        [*python, *command(data, out)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    three_lines(done.stderr)
    assert not (out / "record.json").exists()
    assert not [p for p in out.rglob("*") if p.is_file() and p.stat().st_size == limit]
    again = subprocess.run([*python, *command(data, out)], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (out / "record.json").exists()


_ON_A_SMALL_DISK = """
room=$1 size=$2; shift 2
mount -t tmpfs -o size="$size" none "$room" || exit 99
"$@"; echo "exit $?"
find "$room" -name record.json -o -type f -size 0
mount -o remount,size=64m "$room"
"$@" 2> /dev/null; echo "exit $?"
find "$room" -name record.json
"""


@pytest.mark.parametrize("size", ["48k", "160k"])
def test_small_disk_loses_nothing_and_resumes(data, tmp_path, size):
    """The run folder lies on a file system that fills up; once it is larger the run goes on."""
    if shutil.which("unshare") is None:
        pytest.skip("needs the command unshare, to mount a small file system")
    run = [sys.executable, "-m", "rmeeto.cli.__main__", *command(data, tmp_path / "out")]
    shell = ["unshare", "-rm", "sh", "-c", _ON_A_SMALL_DISK, "sh", str(tmp_path), size]
    done = subprocess.run([*shell, *run], capture_output=True, text=True, check=False)
    if "exit" not in done.stdout:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()[-200:]}")
    said = [line for line in done.stdout.splitlines() if line.startswith(("exit", str(tmp_path)))]
    assert said == ["exit 1", "exit 0", str(tmp_path / "out" / "record.json")], done.stderr
    three_lines(done.stderr)
