"""Groups of nearly equal hashes, and how large they are, with few rows in hand at once whatever their number.

What is held for each row is allocated by the caller, who may put it on disk; the answer does not depend on `at_once`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.groups import Positions, group_counts
from infimm_data.hamming import Hashes, near_pairs
from infimm_data.links import forest

Allocate = Callable[[int, npt.DTypeLike], npt.NDArray[Any]]
"""Returns an array of so many numbers of a type, not filled."""

ALL = 1 << 40  # at once, where memory is no matter
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads neighbours over parts
_ROWS_AT_ONCE = 1 << 20


def near_groups(hashes: Hashes, distance: int, *, at_once: int = ALL, allocate: Allocate = np.empty) -> Positions:
    """Return a number of the group of each hash: hashes within `distance` bits connect, over any number of steps.

    at_once: rows that are held beside what `allocate` gives, about 100 bytes each.
    """
    unique, groups = _unique(hashes, at_once, allocate)
    labels = allocate(len(unique), np.int64)
    for here in _stretches(len(labels)):
        labels[here] = np.arange(here.start, here.stop)
    for left, right in near_pairs(unique, distance, at_once):
        roots, members = forest(_roots(labels, left), _roots(labels, right))
        labels[members] = roots
    for here in _stretches(len(groups)):
        groups[here] = _roots(labels, groups[here])
    return groups


def counts_of_groups(
    groups: Positions, documents: Positions, *, at_once: int = ALL, allocate: Allocate = np.empty
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what `group_counts` returns, group after group."""
    distinct, repeats = allocate(len(groups), np.float64), allocate(len(groups), np.float64)
    for rows in _parts(groups.view(np.uint64), at_once):
        _, here = np.unique(groups[rows], return_inverse=True)
        distinct[rows], repeats[rows] = group_counts(here, documents[rows])
    return distinct, repeats


def _unique(hashes: Hashes, at_once: int, allocate: Allocate) -> tuple[Hashes, Positions]:
    """Return the distinct hashes, and the place among them of each hash."""
    places, found = allocate(len(hashes), np.int64), []
    start = 0
    for rows in _parts(hashes, at_once):
        here, inverse = np.unique(hashes[rows], return_inverse=True)
        places[rows] = inverse + start
        found.append(here)
        start += len(here)
    unique = allocate(start, np.uint64)
    np.concatenate(found, out=unique)
    return unique, places


def _parts(keys: npt.NDArray[np.uint64], at_once: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield all rows, ascending, about `at_once` at a time; those with equal keys come together."""
    parts = np.uint64(max(1, -(-len(keys) // at_once)))
    for part in range(int(parts)):
        rows = [
            here.start + np.flatnonzero((keys[here] * _MIX >> np.uint64(32)) % parts == np.uint64(part))
            for here in _stretches(len(keys))
        ]
        yield np.concatenate([np.empty(0, dtype=np.int64), *rows])


def _roots(labels: Positions, rows: Positions) -> Positions:
    """Follow labels until they name themselves."""
    while True:
        above = labels[rows]
        if np.array_equal(above, rows):
            return rows
        rows = above


def _stretches(size: int) -> Iterator[slice]:
    return (slice(start, min(size, start + _ROWS_AT_ONCE)) for start in range(0, size, _ROWS_AT_ONCE))
