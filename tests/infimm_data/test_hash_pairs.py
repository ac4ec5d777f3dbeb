"""Near hashes: what looking into buckets finds is what comparing each with each finds."""

from __future__ import annotations

import numpy as np
import pytest

from infimm_data.hash_pairs import pairs_in_memory


def made_hashes(size, flips, seed):
    """Return distinct hashes, four of each family a few bits apart."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, 1 << 64, max(size // 4, 1), dtype=np.uint64)
    hashes = family[rng.integers(0, len(family), size)]
    for _ in range(flips):
        bit = np.uint64(1) << rng.integers(0, 64, size).astype(np.uint64)
        hashes ^= np.where(rng.random(size) < 0.6, bit, np.uint64(0))
    return np.unique(hashes)


def pairs_of(found):
    return {(int(min(a, b)), int(max(a, b))) for left, right in found for a, b in zip(left, right, strict=True)}


@pytest.mark.parametrize("distance", [1, 2, 3, 6, 8, 12, 20, 32])
@pytest.mark.parametrize("size", [2, 3, 50, 400])
def test_all_pairs_within_the_distance_are_found_and_no_others(distance, size):
    hashes = made_hashes(size, distance, seed=size)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    expected = {(int(a), int(b)) for a, b in np.argwhere(np.triu(apart <= distance, 1))}
    assert pairs_of(pairs_in_memory(hashes, distance)) == expected


def test_a_pair_that_differs_in_every_allowed_place_is_found():
    """Six flips anywhere: none of the cuts may miss a pair."""
    rng = np.random.default_rng(0)
    hash_ = np.uint64(0x0123456789ABCDEF)
    for _ in range(300):
        other = hash_
        for bit in rng.choice(64, 6, replace=False):
            other ^= np.uint64(1) << np.uint64(bit)
        assert pairs_of(pairs_in_memory(np.array([hash_, other]), 6)) == {(0, 1)}
        assert pairs_of(pairs_in_memory(np.array([hash_, other]), 5)) == set()


@pytest.mark.parametrize("hashes", [[], [7]])
def test_fewer_than_two_hashes_have_no_pair(hashes):
    assert pairs_of(pairs_in_memory(np.array(hashes, dtype=np.uint64), 6)) == set()


def test_distinct_hashes_are_never_within_zero_bits():
    assert pairs_of(pairs_in_memory(np.array([1, 2, 3], dtype=np.uint64), 0)) == set()
