"""CIFAR in its four published forms; hostile pickles are refused without being run."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from rmeeto.data import available_splits, open_source
from rmeeto.errors import DataError

NAMES = ["plane", "car", "bird"]


def rows(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def batches10(per_batch=2):
    """name → (rows, labels) in the official naming."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {name: (rows(per_batch, i), [i % 3, 2][:per_batch]) for i, name in enumerate(names)}


def pickled(kind="labels", meta="batches.meta", key="label_names", batches=None, protocol=2):
    batches = batches10() if batches is None else batches
    files = {
        name: pickle.dumps(
            {b"data": data, kind.encode(): labels, b"filenames": [b"x.png"]}, protocol
        )
        for name, (data, labels) in batches.items()
    }
    return files | {meta: pickle.dumps({key.encode(): [n.encode() for n in NAMES]}, protocol)}


def binary10():
    files = {
        f"{name}.bin": b"".join(bytes([y]) + x.tobytes() for x, y in zip(*batch, strict=True))
        for name, batch in batches10().items()
    }
    return files | {"batches.meta.txt": "\n".join([*NAMES, ""]).encode()}


def cifar100():
    return {"train": (rows(4, 7), [0, 1, 2, 1]), "test": (rows(2, 8), [2, 0])}


def binary100():
    files = {
        f"{name}.bin": b"".join(bytes([9, y]) + x.tobytes() for x, y in zip(*batch, strict=True))
        for name, batch in cifar100().items()
    }
    return files | {"fine_label_names.txt": "\n".join(NAMES).encode()}


def write(folder, files):
    folder.mkdir(exist_ok=True, parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def write_tar(path, files, top):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def check(spec, train, test):
    assert available_splits(spec) == ("train", "test")
    for split, batches in (("train", train), ("test", test)):
        source = open_source(spec, split)
        data = np.concatenate([x for x, _ in batches])
        planes = data.reshape(-1, 3, 32, 32)
        assert source.images.shape == (len(data), 32, 32, 3)
        assert (source.images[..., 1] == planes[:, 1]).all()
        assert source.labels.tolist() == [y for _, labels in batches for y in labels]
        assert source.classes == NAMES


@pytest.mark.parametrize(
    "files", [pickled(), pickled(protocol=4), binary10()], ids=["py2", "py4", "bin"]
)
@pytest.mark.parametrize("place", ["folder", "parent", "archive"])
def test_cifar10(tmp_path, files, place):
    *train, test = batches10().values()
    top = "cifar-10-batches-py" if "test_batch" in files else "cifar-10-batches-bin"
    if place == "archive":
        write_tar(tmp_path / "cifar.tar.gz", files, top)
        spec = tmp_path / "cifar.tar.gz"
    else:
        write(tmp_path / top, files)
        spec = tmp_path if place == "parent" else tmp_path / top
    check(spec, train, [test])
    check(f"cifar:{spec}", train, [test])


def test_cifar100(tmp_path):
    files = pickled("fine_labels", "meta", "fine_label_names", cifar100())
    write(tmp_path / "cifar-100-python", files)
    write(tmp_path / "b" / "cifar-100-binary", binary100())
    for spec in (tmp_path, tmp_path / "b"):
        check(spec, [cifar100()["train"]], [cifar100()["test"]])


def python2_batch(data, labels):
    """The opcodes that Python 2 wrote: text is bytes, nothing goes through _codecs."""
    return b"".join(
        [
            b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
            b"K\x00\x85U\x01b\x87R(K\x01K" + bytes([len(data)]) + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN",
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + data.size.to_bytes(4, "little") + data.tobytes() + b"tb",
            b"U\x06labels](" + b"".join(b"K" + bytes([y]) for y in labels) + b"eu.",
        ]
    )


def test_batches_as_python_2_wrote_them(tmp_path):
    batches = batches10()
    files = pickled() | {name: python2_batch(*batch) for name, batch in batches.items()}
    *train, test = batches.values()
    write(tmp_path, files)
    assert (pickle.loads(files["test_batch"], encoding="bytes")[b"data"] == test[0]).all()
    check(tmp_path, train, [test])


class Runs:
    """Writes a file if it is unpickled the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Call:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def hostile(tmp_path):
    code = "raise SystemExit('ran')"
    yield {b"data": Runs(tmp_path / "ran"), b"labels": [0]}
    yield {b"data": rows(1, 0), b"labels": [0], b"extra": Runs(tmp_path / "ran")}
    yield Runs(tmp_path / "ran")
    yield {b"data": Call(eval, code), b"labels": [0]}
    yield {b"data": Call(getattr, "x", "upper"), b"labels": [0]}
    yield {b"data": Call(np.frombuffer, b"abc"), b"labels": [0]}
    yield {b"data": np.array([Runs(tmp_path / "ran")], dtype=object), b"labels": [0]}


@pytest.mark.parametrize("name", [b"_codecs\nencode", b"numpy\nndarray", b"numpy\ndtype"])
@pytest.mark.parametrize("state", [{"__defaults__": (1,)}, (None, {"__new__": 1, "__doc__": "x"})])
def test_hostile_state_leaves_our_own_classes_alone(tmp_path, name, state):
    write(tmp_path / "cifar-10-batches-py", pickled())
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    good = path.read_bytes()
    path.write_bytes(b"c" + name + b"\n" + pickle.dumps(state, 0)[:-1] + b"b.")  # BUILD on a global
    with pytest.raises(DataError):
        open_source(tmp_path, "test")
    path.write_bytes(good)
    assert len(open_source(tmp_path, "test")) == 2


@pytest.mark.parametrize("case", range(7))
def test_hostile_pickle_is_refused_and_not_run(tmp_path, case):
    write(tmp_path / "cifar-10-batches-py", pickled())
    payload = pickle.dumps(list(hostile(tmp_path))[case], 2)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(payload)
    with pytest.raises(DataError, match="UnpicklingError"):
        open_source(tmp_path, "test")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        {b"labels": [0]},
        {b"data": rows(1, 0).astype(np.float32), b"labels": [0]},
        {b"data": np.asfortranarray(rows(2, 0)), b"labels": [0, 1]},
        {b"data": rows(2, 0), b"labels": [0]},
        {b"data": rows(2, 0)[:, :100], b"labels": [0, 1]},
        {b"data": rows(1, 0), b"labels": [99]},
    ],
)
def test_pickle_that_is_no_batch(tmp_path, values):
    write(tmp_path / "cifar-10-batches-py", pickled())
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(values, 2))
    with pytest.raises(DataError):
        open_source(tmp_path, "test")


@pytest.mark.parametrize("form", ["pickled", "binary"])
def test_truncated_and_missing_batches(tmp_path, form):
    files = pickled() if form == "pickled" else binary10()
    name = "data_batch_3" if form == "pickled" else "data_batch_3.bin"
    write(tmp_path, files | {name: files[name][:-5]})
    with pytest.raises(DataError):
        open_source(tmp_path, "train")
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match="without data_batch_3"):
        open_source(tmp_path, "train")
    assert len(open_source(tmp_path, "test")) == 2


def test_truncated_archive(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    write_tar(path, pickled(), "cifar-10-batches-py")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError):
        open_source(path, "test")


def test_validation_split_is_not_there(tmp_path):
    write(tmp_path, binary10())
    with pytest.raises(DataError, match="it has train, test"):
        open_source(tmp_path, "val")
