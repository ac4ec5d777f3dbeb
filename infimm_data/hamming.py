"""Perceptual hashes that are nearly equal, found exactly and without comparing each with each.

Two hashes within d bits, cut into k blocks, agree in some block up to d // k bits (pigeonhole), so looking into buckets
of nearly equal blocks misses none; k is chosen by the expected work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from infimm_data.groups import Positions

BITS = 64
_MAX_FLIPS = 2  # more flipped bits per block cost more look-ups than larger buckets do
_PAIRS_AT_ONCE = 1 << 20  # candidate pairs held at once: 16 MiB of positions
_ROWS_AT_ONCE = 1 << 20  # hashes whose buckets are looked up at once

Hashes = npt.NDArray[np.uint64]


def near_pairs(unique: Hashes, distance: int, at_once: int = 1 << 40) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs (positions a, positions b) of distinct hashes within `distance` bits, perhaps repeatedly.

    at_once: hashes that are held at once beside `unique`; more are cut by the first bits of each block.
    """
    if distance == 0 or len(unique) < 2:
        return
    blocks = _blocks_for(len(unique), distance)
    edges = [BITS * block // blocks for block in range(blocks + 1)]
    for low, high in itertools.pairwise(edges):
        split = min(high - low, max(0, math.ceil(math.log2(2 * len(unique) / at_once))) if at_once < len(unique) else 0)
        for part in range(1 << split):
            yield from _pairs_of_part(unique, _Part(low, high, split, part), distance, distance // blocks)


def _bits(hashes: Hashes, low: int, count: int) -> Hashes:
    """Return `count` bits of each hash, from bit `low` up."""
    return (hashes >> np.uint64(low)) & np.uint64((1 << count) - 1) if count else np.zeros_like(hashes)


@dataclass(frozen=True)
class _Part:
    """The hashes whose bits low..high, a block, begin with the `split` bits of `part`."""

    low: int
    high: int
    split: int
    part: int

    def ordered(self, unique: Hashes) -> tuple[Positions, Hashes]:
        """Return their positions by what follows in the block, and what that is."""
        rest = self.high - self.low - self.split
        places = []
        for start in range(0, len(unique), _ROWS_AT_ONCE):
            first_bits = _bits(unique[start : start + _ROWS_AT_ONCE], self.low + rest, self.split)
            places.append(start + np.flatnonzero(first_bits == self.part))
        mine = np.concatenate(places)
        values = _bits(unique[mine], self.low, rest)
        order = np.argsort(values, kind="stable")
        return mine[order], values[order]


def _pairs_of_part(unique: Hashes, part: _Part, distance: int, flips: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield the pairs of the hashes of a part with each other, and with those of parts after it that flips reach."""
    mine, values = part.ordered(unique)
    if not len(mine):
        return
    for over in _flips(part.split, flips):
        other = part.part ^ int(over)
        if other < part.part:
            continue
        theirs, their_values = (mine, values) if not over else replace(part, part=other).ordered(unique)
        for flip in _flips(part.high - part.low - part.split, flips - int(over).bit_count()):
            for a, b in _bucket_pairs(values, their_values, flip, is_same=not over):
                a, b = mine[a], theirs[b]
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


def _bucket_pairs(
    mine: Hashes, theirs: Hashes, flip: np.uint64, *, is_same: bool
) -> Iterator[tuple[Positions, Positions]]:
    """Yield in pieces the pairs of positions, in `mine` and in `theirs`, whose values differ in exactly `flip`.

    Both ascend. is_same: they are one array, of which each pair is told once.
    """
    for begin in range(0, len(mine), _ROWS_AT_ONCE):
        here = np.arange(begin, min(len(mine), begin + _ROWS_AT_ONCE), dtype=np.int64)
        wanted = mine[here] ^ flip
        first = here + 1 if is_same and flip == 0 else np.searchsorted(theirs, wanted, side="left")
        last = np.searchsorted(theirs, wanted, side="right")
        if is_same and flip != 0:
            last = np.where(wanted < mine[here], first, last)  # each pair once, from its smaller value
        yield from in_pieces(here, first, last, _PAIRS_AT_ONCE)


def in_pieces(
    rows: Positions, first: Positions, last: Positions, at_once: int
) -> Iterator[tuple[Positions, Positions]]:
    """Yield each row with every position from its first to before its last, about `at_once` together."""
    counts = last - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(rows):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + at_once, side="right")))
        some = counts[start:stop]
        shift = first[start:stop] - (ends[start:stop] - some - done)
        yield np.repeat(rows[start:stop], some), np.arange(int(some.sum()), dtype=np.int64) + np.repeat(shift, some)
        start = stop
