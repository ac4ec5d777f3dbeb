"""Pieces of documents into rows of a fixed number of tokens: best fit, longest first.

Cost: n log n. Measured on log-normal lengths with OBELICS' means in windows of 256 documents: see the tests, which
hold the fill above 0.95.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return rows of positions in `lengths`, the sum of each at most `capacity`; every position is in one row.

    lengths: 1..capacity each. Deterministic: ties go to the earlier position and the older row.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens left, row), sorted: the first that fits leaves the least unused
    for position in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[position]
        if not 1 <= length <= capacity:
            raise ValueError(f"length {length}: expected 1..{capacity}")
        place = bisect.bisect_left(free, (length, -1))
        if place < len(free):
            left, row = free.pop(place)
            rows[row].append(position)
        else:
            left, row = capacity, len(rows)
            rows.append([position])
        if left > length:
            bisect.insort(free, (left - length, row))
    return rows
