"""Buckets into links and candidates; fewest links for the same groups."""

from __future__ import annotations

import numpy as np
import pytest

from filters.exact_duplicate_text import ExactDuplicateText
from filters.near_duplicate_text import NearDuplicateText
from infimm_data.groups import smallest_of_group
from infimm_data.links import (
    PAIR,
    RECORD,
    as_matrix,
    candidates_of,
    digest,
    forest,
    links_of,
    num_keys,
    records_of,
    signature_bytes,
    unique_pairs,
)

NEAR, EXACT = NearDuplicateText(), ExactDuplicateText()


def bucket(checks, key=7):
    records = np.zeros(len(checks), dtype=RECORD)
    records["key"], records["check"], records["position"] = key, checks, np.arange(len(checks))
    return records


def pairs_of(singles):
    return [
        (a, b) for left, right in candidates_of(singles) for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]


def test_equal_signatures_are_linked_with_the_first_and_told_in_the_first_bucket_only():
    for first_bucket in (0, 1):
        checks = np.array([8, 4, 8, 4, 8]) | first_bucket
        left, right, singles = links_of(bucket(checks)[[4, 2, 0, 3, 1]])
        assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 2), (0, 4), (1, 3)] * first_bucket
        assert singles["position"].tolist() == [0, 1]


def test_candidates_share_a_key_and_come_once():
    both = np.concatenate([bucket([2, 4, 6]), bucket([8], key=9)])
    assert sorted(pairs_of(links_of(both)[2])) == [(0, 1), (0, 2), (1, 2)]


def test_a_large_bucket_gives_each_its_next_256_and_the_first():
    pairs = pairs_of(links_of(bucket(2 * np.arange(600)))[2])
    assert len(pairs) == len(set(pairs)) == sum(range(600 - 256, 600)) + (600 - 257)
    assert (0, 599) in pairs
    assert (1, 599) not in pairs
    assert not smallest_of_group(600, *np.array(pairs).T).any()


@pytest.mark.parametrize(("groups", "width", "keys"), [(NEAR, 512, 21), (EXACT, 16, 1)])
def test_a_document_has_a_record_for_each_key(groups, width, keys):
    assert (signature_bytes(groups), num_keys(groups)) == (width, keys)
    records = records_of(groups, as_matrix([bytes(width), b"\x01" * width], width), np.array([5, 9]))
    assert records["position"].tolist() == [5, 9] * keys
    assert (records["check"] & np.uint64(1)).tolist() == [1, 1] + [0, 0] * (keys - 1)
    assert len(set(records["key"].tolist())) == 2 * keys


def test_a_digest_is_sixteen_bytes_also_of_half_a_surrogate():
    assert len(digest("\ud83d")) == 16
    assert digest("a") != digest("b")


@pytest.mark.parametrize("seed", range(5))
def test_a_forest_has_the_same_groups(seed):
    left, right = np.random.default_rng(seed).integers(0, 50, (2, 40))
    roots, members = forest(left, right)
    assert smallest_of_group(50, roots, members).tolist() == smallest_of_group(50, left, right).tolist()
    assert len(set(members.tolist())) == len(members)


def test_pairs_are_made_unique_in_order():
    pairs = np.array([(2, 1), (0, 5), (2, 1), (0, 3)], dtype=PAIR)
    assert unique_pairs(pairs).tolist() == [(0, 3), (0, 5), (2, 1)]
    assert len(unique_pairs(pairs[:0])) == 0
