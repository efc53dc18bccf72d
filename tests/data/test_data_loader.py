"""Batches: order, determinism, resuming, worker processes, corrupt images."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from rmeeto.data import (
    AUGMENTS,
    ArraySource,
    Augment,
    Preprocessing,
    SkipReport,
    Subset,
    epoch_order,
    eval_batches,
    train_batches,
)
from rmeeto.errors import ConfigError, DataError

PLAIN = Preprocessing(8, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
WORKERS = [1, min(2, os.cpu_count() or 1)]  # torch warns of more workers than processors


def source(n=50, broken=(), side=8):
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    bad = {i: DataError("an image", str(i), "broken on purpose") for i in broken}
    return ArraySource(images, np.arange(n) % 5, name="set", broken=bad)


def train(data, augment="light", seed=1, epoch=2, size=8, **more):
    return list(train_batches(data, PLAIN, AUGMENTS[augment], size, seed, epoch, **more))


def equal(a, b):
    return a.mix_seed == b.mix_seed and all(
        torch.equal(getattr(a, name), getattr(b, name))
        for name in ("images", "labels", "ids", "view_seeds")
    )


def test_evaluation_in_order_and_whole():
    data = source()
    batches = list(eval_batches(data, PLAIN, 16))
    assert [len(b.labels) for b in batches] == [16, 16, 16, 2]
    assert torch.cat([b.ids for b in batches]).tolist() == list(range(50))
    images = torch.cat([b.images for b in batches])
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    expected = data.images.transpose(0, 3, 1, 2) / np.float32(255)
    assert (images.numpy() == expected).all()
    assert (torch.cat([b.labels for b in batches]).numpy() == data.labels).all()


def test_evaluation_resizes():
    data = source(side=12)
    (batch,) = eval_batches(data, PLAIN, 64)
    assert (batch.images[7].numpy() == PLAIN.apply(data.images[7])).all()


def test_subset_equals_its_images():
    data = source()
    (batch,) = eval_batches(Subset(data, [9, 3]), PLAIN, 8)
    assert batch.ids.tolist() == [0, 1]
    assert batch.labels.tolist() == [4, 3]
    assert (batch.images[1].numpy() == PLAIN.apply(data.images[3])).all()


def test_epochs_are_permutations_of_their_own():
    orders = [epoch_order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert (epoch_order(100, 0, 1) == orders[1]).all()


@pytest.mark.parametrize(("count", "repeats"), [(99, 3), (100, 3), (7, 10)])
def test_repeated_augmentation_keeps_the_epochs_length(count, repeats):
    order = epoch_order(count, 0, 0, repeats)
    assert len(order) == count
    _, counts = np.unique(order, return_counts=True)
    assert (np.sort(counts)[1:] == repeats).all()  # the last image may be cut short
    assert (order == np.repeat(epoch_order(count, 0, 0), repeats)[:count]).all()


def test_repeats_come_from_the_augmentation_or_the_call():
    data, augment = source(), Augment(repeats=3, crop="rrc")
    drawn = [b.ids for b in train_batches(data, PLAIN, augment, 9, 0, 0)]
    assert len(torch.cat(drawn).unique()) == 15
    once = [b.ids for b in train_batches(data, PLAIN, augment, 9, 0, 0, repeats=1)]
    assert len(torch.cat(once).unique()) == 45
    first = next(iter(train_batches(data, PLAIN, augment, 9, 0, 0)))
    assert first.ids[0] == first.ids[1]
    assert not torch.equal(first.images[0], first.images[1])  # another view of the same image


@pytest.mark.parametrize("augment", ["light", "rmeeto", "none"])
def test_same_arguments_same_batches_and_resume_anywhere(augment):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    whole = train(source(), augment)
    assert len(whole) == 6
    for start in (0, 4):
        again = train(source(), augment, start_batch=start)
        assert all(map(equal, again, whole[start:]))
        assert len(again) == 6 - start
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    for other in (train(source(), augment, seed=2), train(source(), augment, epoch=3)):
        assert not torch.equal(other[0].ids, whole[0].ids)
        assert not torch.equal(other[0].view_seeds, whole[0].view_seeds)
        assert other[0].mix_seed != whole[0].mix_seed
    seeds = torch.cat([b.view_seeds for b in whole])
    assert len(seeds.unique()) == len(seeds)


def test_view_depends_on_its_place_not_on_the_batch_size():
    small, large = train(source(), size=8), train(source(), size=16)
    assert torch.equal(torch.cat([b.images for b in small[:2]]), large[0].images)
    assert torch.equal(torch.cat([b.view_seeds for b in small[:2]]), large[0].view_seeds)


def test_drop_last():
    assert [len(b) for b in train(source(50), size=16, drop_last=True) for b in [b.ids]] == [16] * 3
    sizes = [len(b.ids) for b in train(source(50), size=16, drop_last=False)]
    assert sizes == [16, 16, 16, 2]
    with pytest.raises(ConfigError, match="drop_last"):
        train_batches(source(5), PLAIN, AUGMENTS["light"], 8, 0, 0)


@pytest.mark.parametrize("workers", sorted(set(WORKERS)))
def test_workers_change_nothing(workers):
    data, state = source(broken=[3]), torch.get_rng_state()
    reports = [SkipReport(0.1) for _ in range(4)]
    here = list(train_batches(data, PLAIN, AUGMENTS["rmeeto"], 8, 1, 2, skip_report=reports[0]))
    there = list(
        train_batches(
            data, PLAIN, AUGMENTS["rmeeto"], 8, 1, 2, workers=workers, skip_report=reports[1]
        )
    )
    assert len(here) == len(there) == 6
    assert all(map(equal, here, there))
    one = list(eval_batches(data, PLAIN, 16, skip_report=reports[2]))
    two = list(eval_batches(data, PLAIN, 16, workers, reports[3]))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.ids, b.ids)
    assert reports[2].names == reports[3].names == ["set[3]"]
    assert reports[0].names == reports[1].names
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_skips_counts_and_names(workers):
    report = SkipReport(max_bad_share=0.1)
    batches = list(eval_batches(source(broken=[0, 17, 49]), PLAIN, 16, workers, report))
    ids = torch.cat([b.ids for b in batches]).tolist()
    assert ids == [i for i in range(50) if i not in (0, 17, 49)]
    assert report.to_record() == {
        "count": 3,
        "share": 0.06,
        "names": ["set[0]", "set[17]", "set[49]"],
    }


def test_batch_without_a_good_image_is_left_out():
    report = SkipReport(max_bad_share=0.5)
    batches = list(eval_batches(source(8, broken=[2, 3]), PLAIN, 2, 0, report))
    assert [b.ids.tolist() for b in batches] == [[0, 1], [4, 5], [6, 7]]


@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_corrupt_images(workers):
    with pytest.raises(DataError, match=r"2 \(4\.00%\)") as caught:
        list(eval_batches(source(broken=[5, 6]), PLAIN, 4, workers, SkipReport(0.02)))
    assert len(str(caught.value).splitlines()) == 3
    assert len(list(eval_batches(source(broken=[5]), PLAIN, 50, workers, SkipReport(0.02)))) == 1


def test_training_takes_the_next_good_image():
    good, report = train(source(), "none"), SkipReport(0.2)
    replaced = train(source(broken=[10, 11, 49]), "none", skip_report=report)
    for a, b in zip(good, replaced, strict=True):
        expected = [{10: 12, 11: 12, 49: 0}.get(i, i) for i in a.ids.tolist()]
        assert b.ids.tolist() == expected
        assert torch.equal(b.labels, b.ids % 5)
        assert torch.equal(a.view_seeds, b.view_seeds)
    drawn = set(torch.cat([b.ids for b in good]).tolist())
    assert set(report.names) == {f"set[{i}]" for i in drawn & {10, 11, 49}} | (
        {"set[11]"} if 10 in drawn else set()
    )
    train(source(broken=[10, 11, 49]), "none", skip_report=report)
    assert report.count <= 3  # each image counts once, however often it is met


@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
def test_training_with_nothing_readable(share):
    with pytest.raises(DataError, match="corrupt"):
        train(source(broken=range(50)), skip_report=SkipReport(share))
    with pytest.raises(DataError, match="corrupt"):  # the report counts against a larger source
        train(source(broken=range(50)), skip_report=SkipReport(share, total=10**6))


def test_report_names_the_first_twenty():
    report = SkipReport(0.5, total=1000)
    report.add(f"x{i}" for i in range(30))
    report.add(["x0"])
    assert report.count == 30
    assert report.names == [f"x{i}" for i in range(20)]
    with pytest.raises(ConfigError):
        SkipReport(1.0)


@pytest.mark.parametrize(("size", "workers"), [(0, 0), (4, -1)])
def test_impossible_settings_fail_before_the_first_batch(size, workers):
    with pytest.raises(ConfigError):
        eval_batches(source(), PLAIN, size, workers)


def test_settings_do_not_need_torch():
    code = "import sys, rmeeto.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
