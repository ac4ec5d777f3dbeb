from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from filters.image_duplicate import ImageDuplicate
from infimm_data.comparing import LiveImages
from infimm_data.errors import ConfigError
from infimm_data.hamming import near_pairs


def near_copies(size: int, seed: int) -> npt.NDArray[np.uint64]:
    """Random hashes, each followed by copies with 1 to 14 flipped bits, shuffled."""
    rng = random.Random(seed)
    hashes = []
    for _ in range(size // 4):
        origin = rng.getrandbits(64)
        hashes.append(origin)
        for _ in range(3):
            flipped = rng.sample(range(64), rng.randint(1, 14))
            hashes.append(origin ^ sum(1 << bit for bit in flipped))
    rng.shuffle(hashes)
    return np.array(hashes, dtype=np.uint64)


def all_pairs(hashes: npt.NDArray[np.uint64], distance: int) -> set[tuple[int, int]]:
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= distance
    return {(int(a), int(b)) for a, b in np.argwhere(near) if a < b}


def smallest_reachable(size: int, pairs: set[tuple[int, int]]) -> list[int]:
    labels = list(range(size))
    for _ in range(size):
        for a, b in sorted(pairs):
            labels[a] = labels[b] = min(labels[a], labels[b])
    return labels


@pytest.mark.parametrize("at_once", [10_000, 100, 9])
@pytest.mark.parametrize("distance", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12])
def test_the_search_finds_exactly_the_pairs_within_the_distance(distance: int, at_once: int) -> None:
    hashes = np.unique(near_copies(400, distance))
    found = {
        (min(a, b), max(a, b))
        for x, y in near_pairs(hashes, distance, at_once)
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    }
    assert found == all_pairs(hashes, distance)
    assert distance == 0 or found


def test_a_group_is_named_by_its_smallest_position() -> None:
    hashes = near_copies(120, 1)
    expected = smallest_reachable(len(hashes), all_pairs(hashes, 6))
    assert ImageDuplicate(distance=6).group_hashes(hashes).tolist() == expected


@pytest.mark.parametrize("at_once", [7, 60])
def test_few_hashes_at_once_make_the_same_groups_and_counts(at_once: int) -> None:
    hashes = np.repeat(near_copies(240, 2), 3)
    documents = np.sort(np.random.default_rng(3).integers(0, 90, len(hashes)))
    asked: list[int] = []

    def allocate(size: int, kind: npt.DTypeLike) -> npt.NDArray[Any]:
        asked.append(size)
        return np.full(size, 3, dtype=kind)

    images = LiveImages(phash=hashes, sha256=np.empty(0, dtype=object), document=documents)
    whole = ImageDuplicate(distance=6).compare(images)
    parts = ImageDuplicate(distance=6).compare(replace(images, at_once=at_once, allocate=allocate))
    assert {name: values.tolist() for name, values in parts.items()} == {n: v.tolist() for n, v in whole.items()}
    assert max(whole["image_documents"]) > 3
    assert max(asked) == len(hashes)


def test_equal_hashes_group_at_distance_zero() -> None:
    hashes = np.array([7, 9, 7, 8, 9], dtype=np.uint64)
    assert ImageDuplicate(distance=0).group_hashes(hashes).tolist() == [0, 1, 0, 3, 1]


def test_a_chain_of_near_copies_is_one_group() -> None:
    hashes = np.array([(1 << (3 * step)) - 1 for step in range(20, -1, -1)], dtype=np.uint64)
    assert ImageDuplicate(distance=3).group_hashes(hashes).tolist() == [0] * 21
    assert ImageDuplicate(distance=2).group_hashes(hashes).tolist() == list(range(21))


def test_a_hundred_thousand_copies_of_one_picture_are_no_burden() -> None:
    hashes = np.full(100_000, 5, dtype=np.uint64)
    assert not ImageDuplicate().group_hashes(hashes).any()


def test_a_picture_on_too_many_documents_goes_and_so_does_its_repeat() -> None:
    frequent, repeated = ImageDuplicate().rules()
    assert (frequent.measure, frequent.passes(np.array([10, 11])).tolist()) == ("image_documents", [True, False])
    assert (repeated.measure, repeated.passes(np.array([0, 1])).tolist()) == ("image_repeat", [True, False])


@pytest.mark.parametrize("distance", [-1, 33])
def test_a_distance_that_means_nothing_is_a_config_error(distance: int) -> None:
    with pytest.raises(ConfigError, match=f"distance is {distance} bits"):
        ImageDuplicate(distance=distance)
