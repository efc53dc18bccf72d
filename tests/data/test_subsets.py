"""Parts of a source: stratified, disjoint, nested, deterministic; the source in memory."""

import numpy as np
import pytest

from rmeeto.data import (
    ArraySource,
    EncodedSource,
    Subset,
    cache,
    hold_out_last,
    of_classes,
    split_validation,
    take,
)
from rmeeto.errors import ConfigError, DataError


def source(counts=(40, 20, 4), seed=0):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    return ArraySource(images, labels, name="set")


@pytest.mark.parametrize(
    ("size", "expected"), [(16, [10, 5, 1]), (0.25, [10, 5, 1]), (0.5, [20, 10, 2])]
)
def test_validation_has_every_class_in_its_share(size, expected):
    whole = source()
    train, validation = split_validation(whole, size, seed=3)
    assert np.bincount(validation.labels).tolist() == expected
    both = np.concatenate([train.indices, validation.indices])
    assert sorted(both) == list(range(64))
    assert (np.diff(train.indices) > 0).all()
    assert (validation.labels == whole.labels[validation.indices]).all()


def test_split_depends_on_the_seed_only():
    parts = [split_validation(source(), 16, seed)[1].indices.tolist() for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_take_is_balanced_and_nested():
    whole = source()
    small, large = take(whole, 12), take(whole, 30)
    assert np.bincount(small.labels).tolist() == [4, 4, 4]
    assert np.bincount(large.labels).tolist() == [13, 13, 4]  # the third class has no more
    assert set(small.indices) < set(large.indices)
    assert len(take(whole, 1.0)) == 64
    assert len(take(whole, 0.25)) == 16


def test_take_after_the_split_leaves_validation_alone():
    train, validation = split_validation(source(), 16)
    assert not set(take(train, 0.1).indices) & set(validation.indices)
    assert len(validation) == 16


def test_hold_out_last():
    train, validation = hold_out_last(source(), 10)
    assert train.indices.tolist() == list(range(54))
    assert validation.indices.tolist() == list(range(54, 64))


@pytest.mark.parametrize("size", [0, -1, 65, 1.5, 100.0, 0.0])
def test_impossible_sizes(size):
    with pytest.raises(ConfigError):
        take(source(), size)


def test_nothing_left_to_train_on():
    for part in (split_validation, hold_out_last):
        with pytest.raises(ConfigError):
            part(source(), 64)


def test_subset_of_a_subset_is_one_step_deep():
    whole = source()
    part = Subset(Subset(whole, [5, 9, 7]), [2, 0])
    assert part.source is whole
    assert part.indices.tolist() == [7, 5]
    assert (part.image(0) == 7).all()
    assert part.item_name(0) == "set[7]"
    assert part.fingerprint() != Subset(whole, [5, 7]).fingerprint() != whole.fingerprint()
    assert part.fingerprint() == Subset(whole, [7, 5]).fingerprint()


@pytest.mark.parametrize("indices", [[], [64], [-1]])
def test_impossible_indices(indices):
    with pytest.raises(DataError):
        Subset(source(), indices)


@pytest.mark.parametrize("positions", [None, [3, 60, 8, 40, 1, 2, 33]])
def test_some_classes_are_numbered_anew(positions):
    whole = source() if positions is None else Subset(source(), positions)
    part = of_classes(whole, ["2", "0"], "two of three")
    assert (part.name, part.classes) == ("two of three", ["2", "0"])
    kept = [i for i, label in enumerate(whole.labels) if label != 1]
    assert len(part) == len(kept)
    for i, k in enumerate(kept):
        assert (part.image(i) == whole.image(k)).all()
        assert part.classes[part.labels[i]] == whole.classes[whole.labels[k]]


def test_classes_that_are_not_there():
    with pytest.raises(DataError, match="x, of 0, 1, 2"):
        of_classes(source(), ["0", "x"], "part")
    with pytest.raises(DataError, match="one array"):
        of_classes(encoded([(2, 2), (3, 3)]), ["a"], "sizes")


def encoded(shapes, bad=()):
    def read(i):
        return bytes([i])

    def decode(data):
        if data[0] in bad:
            raise ValueError("broken")
        return np.full((*shapes[data[0]], 3), data[0], np.uint8)

    return EncodedSource(read, decode, [0] * len(shapes), ["a"], "lazy", [1] * len(shapes))


def test_cache_keeps_content_fingerprint_and_broken_images():
    lazy, seen = encoded([(2, 3)] * 4, bad=[2]), []
    kept = cache(lazy, progress=lambda *done: seen.append(done))
    assert isinstance(kept, ArraySource)
    assert kept.fingerprint() == lazy.fingerprint()
    assert (kept.image(3) == lazy.image(3)).all()
    with pytest.raises(DataError, match="broken"):
        kept.image(2)
    assert seen[-1] == (4, 4)


def test_cache_leaves_what_does_not_fit():
    mixed, large = encoded([(2, 3), (3, 2)]), encoded([(2, 3)] * 4)
    assert cache(mixed) is mixed
    assert cache(large, limit_bytes=71) is large
    assert cache(large, limit_bytes=72) is not large
    array = source()
    assert cache(array) is array


def test_fingerprint_changes_with_pixels_and_labels():
    images, labels = np.zeros((4, 2, 2), np.uint8), [0, 1, 0, 1]
    first = ArraySource(images, labels).fingerprint()
    changed = images.copy()
    changed[0, 0, 0] = 1
    others = [ArraySource(changed, labels), ArraySource(images, [0, 1, 1, 0])]
    assert len({first, *(s.fingerprint() for s in others)}) == 3
    assert ArraySource(images, labels, ["x", "y"], "other").fingerprint() == first
