"""Seeded numbers: reproducible, different for every purpose, uniform."""

import numpy as np
import pytest

from rmeeto.data.streams import Stream, derive, generator, seeds, uniforms


def splitmix_finaliser(z):
    mask = (1 << 64) - 1
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return z ^ (z >> 31)


def test_derive_is_the_chained_finaliser():
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    for keys in [(0,), (1, 2), (7, 0, 2**63)]:
        state = 0
        for key in keys:
            state = splitmix_finaliser(state ^ splitmix_finaliser((key + golden) & mask))
        assert int(derive(*keys)[0]) == state


def test_derive_broadcasts_and_minds_order():
    positions = np.arange(5)
    many = derive(3, positions)
    assert [int(derive(3, p)[0]) for p in range(5)] == many.tolist()
    assert derive(1, 2) != derive(2, 1)
    assert derive(-1) == derive(2**64 - 1)


def test_seeds_are_distinct_and_not_negative():
    values = np.concatenate(
        [seeds(seed, epoch, np.arange(1000)) for seed in (0, 1) for epoch in (0, 1)]
    )
    assert values.dtype == np.int64
    assert (values >= 0).all()
    assert len(np.unique(values)) == 4000


def test_uniforms_are_uniform_and_independent():
    x = uniforms(seeds(0, np.arange(20_000)), Stream.CROP, 3)
    assert ((x >= 0) & (x < 1)).all()
    # standard error of a mean of 20,000 is 0.002
    assert np.abs(x.mean(0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(x.T) - np.eye(3)).max() < 0.03
    other = uniforms(seeds(0, np.arange(20_000)), Stream.FLIP, 1)
    assert abs(np.corrcoef(x[:, 0], other[:, 0])[0, 1]) < 0.03


def test_uniforms_of_a_view_do_not_depend_on_the_batch():
    view_seeds = seeds(5, np.arange(10))
    whole = uniforms(view_seeds, Stream.CROP, 2)
    assert (uniforms(view_seeds[3:4], Stream.CROP, 2) == whole[3]).all()


@pytest.mark.parametrize("keys", [(0,), (3, 4)])
def test_generator_repeats(keys):
    assert (generator(*keys).random(4) == generator(*keys).random(4)).all()
    assert (generator(*keys).random(4) != generator(*keys, 0).random(4)).all()
