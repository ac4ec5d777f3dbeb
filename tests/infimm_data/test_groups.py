from __future__ import annotations

import random

import numpy as np

from infimm_data.groups import smallest_of_group


def union_find(size: int, pairs: list[tuple[int, int]]) -> list[int]:
    parent = list(range(size))

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(at) for at in range(size)]


def grouped(size: int, pairs: list[tuple[int, int]]) -> list[int]:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return smallest_of_group(size, ends[:, 0], ends[:, 1]).tolist()


def test_groups_are_those_of_union_find_named_by_their_smallest_member() -> None:
    rng = random.Random(3)
    for _ in range(200):
        size = rng.randint(1, 60)
        pairs = [(rng.randrange(size), rng.randrange(size)) for _ in range(rng.randint(0, 80))]
        assert grouped(size, pairs) == union_find(size, pairs)


def test_order_and_repeats_of_pairs_change_nothing() -> None:
    pairs = [(5, 3), (3, 1), (8, 9), (1, 7)]
    assert grouped(10, pairs) == grouped(10, [(b, a) for a, b in reversed(pairs)] * 3)


def test_a_chain_of_a_hundred_thousand_is_one_group() -> None:
    order = np.random.default_rng(0).permutation(100_000)
    assert not smallest_of_group(100_000, order[:-1], order[1:]).any()


def test_no_pairs_and_no_positions_are_fine() -> None:
    assert grouped(3, []) == [0, 1, 2]
    assert grouped(0, []) == []
