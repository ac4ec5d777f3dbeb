"""Perceptual hashes that are nearly equal, found exactly and without comparing each with each.

Two hashes within d bits, cut into k blocks, agree in some block up to d // k bits (pigeonhole), so looking into buckets
of nearly equal blocks misses none; k is chosen by the expected work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from infimm_data.groups import Positions

BITS = 64
_MAX_FLIPS = 2  # more flipped bits per block cost more look-ups than larger buckets do
_PAIRS_AT_ONCE = 1 << 22  # candidate pairs held at once: 64 MiB of positions

Hashes = npt.NDArray[np.uint64]


def near_pairs(unique: Hashes, distance: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs (positions a, positions b) of distinct hashes within `distance` bits, perhaps repeatedly."""
    if distance == 0 or len(unique) < 2:
        return
    blocks = _blocks_for(len(unique), distance)
    edges = [BITS * block // blocks for block in range(blocks + 1)]
    for low, high in itertools.pairwise(edges):
        mask = np.uint64((1 << (high - low)) - 1)
        values = (unique >> np.uint64(low)) & mask
        order = np.argsort(values, kind="stable")
        for flip in _flips(high - low, distance // blocks):
            for a, b in _bucket_pairs(values[order], flip):
                a, b = order[a], order[b]
                near = np.bitwise_count(unique[a] ^ unique[b]) <= distance
                yield a[near], b[near]


def _blocks_for(size: int, distance: int) -> int:
    """Return the number of blocks with the least expected work: look-ups, and pairs to check, of random hashes."""

    def work(blocks: int) -> float:
        bits, flips = BITS // blocks, distance // blocks
        if flips > _MAX_FLIPS:
            return math.inf
        probes = sum(math.comb(bits, count) for count in range(flips + 1))
        return blocks * probes * (4.0 * size + size * size / 2.0**bits)

    return min(range(1, distance + 2), key=work)


def _flips(bits: int, most: int) -> Iterator[np.uint64]:
    """Yield every mask of `bits` bits with at most `most` of them set, the empty one first."""
    for count in range(most + 1):
        for chosen in itertools.combinations(range(bits), count):
            yield np.uint64(sum(1 << bit for bit in chosen))


def _bucket_pairs(ordered: Hashes, flip: np.uint64) -> Iterator[tuple[Positions, Positions]]:
    """Yield in pieces the pairs of positions in `ordered` (ascending) whose values differ in exactly `flip`."""
    here = np.arange(len(ordered), dtype=np.int64)
    wanted = ordered ^ flip
    first = here + 1 if flip == 0 else np.searchsorted(ordered, wanted, side="left")
    last = np.searchsorted(ordered, wanted, side="right")
    counts = last - first
    if flip != 0:
        counts[wanted < ordered] = 0  # each pair once, from its smaller value
    ends = np.cumsum(counts)
    start = 0
    while start < len(here):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        some = counts[start:stop]
        a = np.repeat(here[start:stop], some)
        within = np.arange(len(a), dtype=np.int64) - np.repeat(np.cumsum(some) - some, some)
        yield a, np.repeat(first[start:stop], some) + within
        start = stop
