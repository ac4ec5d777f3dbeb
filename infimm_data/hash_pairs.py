"""Perceptual hashes that are nearly equal, found exactly in memory: faster than `infimm_data.hamming`, and unbounded.

Hashes are cut into blocks with a radius each; where the radii plus one add up to more than d, two hashes within d bits
agree in some block up to its radius (pigeonhole: else each block would add its radius plus one). So looking into the
buckets of nearly equal blocks misses none; how many blocks is chosen by the expected work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from infimm_data.groups import Positions
from infimm_data.hamming import BITS, Hashes, in_pieces

_MAX_RADIUS = 2  # more flipped bits per block cost more look-ups than larger buckets do
_MAX_WIDTH = 24  # bits of a block: a table has a place for each of its values, 64 MiB
_PAIRS_AT_ONCE = 1 << 22  # candidate pairs held at once: 64 MiB of positions

Values = npt.NDArray[np.uint32]


def pairs_in_memory(unique: Hashes, distance: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs (positions a, positions b) of distinct hashes within `distance` bits, perhaps repeatedly."""
    if distance == 0 or len(unique) < 2:
        return
    low = 0
    for width, radius in _blocks_for(len(unique), distance):
        mask = np.uint64((1 << width) - 1)
        values = ((unique >> np.uint64(low)) & mask).astype(np.uint32)
        low += width
        order = np.argsort(values, kind="stable")
        ordered = unique[order]
        for a, b in _bucket_pairs(values[order], width, radius):
            near = np.bitwise_count(ordered[a] ^ ordered[b]) <= distance
            yield order[a[near]], order[b[near]]


def _blocks_for(size: int, distance: int) -> list[tuple[int, int]]:
    """Return width and radius of the blocks with the least expected work: look-ups, and pairs of random hashes."""
    cuts = [_cut(distance, blocks) for blocks in range(1, distance + 2)]
    return min((cut for cut in cuts if cut), key=lambda cut: sum(_work(size, width, radius) for width, radius in cut))


def _cut(distance: int, blocks: int) -> list[tuple[int, int]]:
    """Return so many blocks, wider where more bits may differ; [] where one would need too many look-ups."""
    radii = [(distance + 1 + place) // blocks - 1 for place in range(blocks)]
    widths = [1] * blocks
    for _ in range(min(BITS, blocks * _MAX_WIDTH) - blocks):  # bits that no table has room for are left out
        open_ = [place for place in range(blocks) if widths[place] < _MAX_WIDTH]
        widths[max(open_, key=lambda place: _probes(widths[place], radii[place]) / 2.0 ** widths[place])] += 1
    return list(zip(widths, radii, strict=True)) if max(radii) <= _MAX_RADIUS else []


def _probes(width: int, radius: int) -> int:
    return sum(math.comb(width, count) for count in range(radius + 1))


def _work(size: int, width: int, radius: int) -> float:
    """Return nanoseconds, measured on one core: 20 a place of the table, 4 a look-up, 16 a pair that is compared."""
    probes, pairs = _probes(width, radius), size * size / 2.0 ** (width + 1)
    return 20.0 * (1 << width) + probes * (4.0 * size + 16.0 * pairs)


def _bucket_pairs(values: Values, width: int, radius: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield in pieces the pairs of positions in `values` (ascending, below 2**width) that differ in few bits."""
    starts = np.zeros((1 << width) + 1, dtype=np.int64)
    np.cumsum(np.bincount(values, minlength=1 << width), out=starts[1:])
    here = np.arange(len(values), dtype=np.int64)
    yield from in_pieces(here, here + 1, starts[values + np.uint32(1)], _PAIRS_AT_ONCE)
    is_there = np.diff(starts) > 0
    for top in range(width if radius else 0):  # each pair once, from its smaller value: that without the highest flip
        lower = np.flatnonzero((values >> np.uint32(top)) & np.uint32(1) == 0)
        flipped = values[lower] ^ np.uint32(1 << top)
        for other in (None, *range(top)) if radius > 1 else (None,):
            wanted = flipped if other is None else flipped ^ np.uint32(1 << other)
            found = np.flatnonzero(is_there[wanted])
            bucket = wanted[found]
            yield from in_pieces(lower[found], starts[bucket], starts[bucket + np.uint32(1)], _PAIRS_AT_ONCE)
