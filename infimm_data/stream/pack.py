"""Pieces of documents into rows that are full of tokens and cost alike; rows onto ranks that cost alike.

Best fit, longest first; then pieces change places between the dearest row and others for as long as that makes it
cheaper. Cost: number of pieces times number of rows, some ten milliseconds for a window of 256 documents. Measured on
lengths like those of OBELICS (tests/infimm_data/stream/obelics_like.py): see the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SWAPS_PER_ROW = 4  # at most; after about two the dearest row is one that holds a single piece

Ints = npt.NDArray[np.int64]


def pack(
    lengths: Sequence[int], capacity: int, *, images: Sequence[int] | None = None, max_images: int | None = None
) -> list[list[int]]:
    """Return rows of positions in `lengths`, the sum of each at most `capacity`; every position is in one row.

    lengths: tokens of each piece, 1..capacity; images: of each piece (None: none has any); max_images: of a row at
    most, but for a piece that alone has more. Deterministic: ties go to the earlier position and the older row.
    """
    for length in lengths:
        if not 1 <= length <= capacity:
            raise ValueError(f"length {length}: expected 1..{capacity}")
    if not lengths:
        return []
    sizes = np.array(lengths, dtype=np.int64)
    counts = np.zeros_like(sizes) if images is None else np.array(images, dtype=np.int64)
    return _rows(_best_fit(sizes, counts, capacity, _most(counts, max_images)), sizes)


def even_out(
    rows: Sequence[Sequence[int]], lengths: Sequence[int], capacity: int, *, images: Sequence[int],
    max_images: int | None = None, image_cost: float,
) -> list[list[int]]:  # fmt: skip
    """Return as many rows of the same pieces that cost more alike. image_cost: of one image, in tokens."""
    sizes, counts = np.array(lengths, dtype=np.int64), np.array(images, dtype=np.int64)
    if not image_cost or not counts.any():
        return [list(row) for row in rows]
    row_of = np.zeros_like(sizes)
    for row, positions in enumerate(rows):
        row_of[list(positions)] = row
    _swap(row_of, np.stack([sizes, counts]), np.array([capacity, _most(counts, max_images)]), image_cost)
    return _rows(row_of, sizes)


def _most(counts: Ints, max_images: int | None) -> int:
    return max(max_images or int(counts.sum()), int(counts.max()))


def _rows(row_of: Ints, sizes: Ints) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(int(row_of.max()) + 1)]
    for position in np.lexsort((np.arange(len(sizes)), -sizes)):
        rows[row_of[position]].append(int(position))
    return rows


def _best_fit(sizes: Ints, counts: Ints, capacity: int, max_images: int) -> Ints:
    """Return the row of each piece: the one that is left with the least room, or a new one."""
    row_of = np.zeros_like(sizes)
    free = np.full(len(sizes), capacity)  # tokens left in each row
    room = np.full(len(sizes), max_images)
    used = 0
    for position in np.lexsort((np.arange(len(sizes)), -counts, -sizes)):
        left = free[:used] - sizes[position]
        left[(left < 0) | (room[:used] < counts[position])] = capacity
        row = int(left.argmin()) if used else 0
        if not used or left[row] == capacity:
            row = used
            used += 1
        row_of[position] = row
        free[row] -= sizes[position]
        room[row] -= counts[position]
    return row_of


def _swap(row_of: Ints, loads: Ints, limits: Ints, image_cost: float) -> None:
    """Move a piece out of the dearest row, or swap it for a cheaper one, as long as that makes it cheaper.

    loads: [2, number of pieces], tokens and images; limits: [2], of a row. Changes `row_of`.
    """
    num_rows, num_pieces = int(row_of.max()) + 1, len(row_of)
    nothing = np.zeros((2, num_rows), dtype=np.int64)  # for each row a piece without load: what a move swaps for
    loads, places = np.concatenate([loads, nothing], axis=1), np.concatenate([row_of, np.arange(num_rows)])
    price = np.array([1.0, image_cost])
    held = np.stack([np.bincount(row_of, load, num_rows) for load in loads[:, :num_pieces]]).astype(np.int64)
    is_settled = np.zeros(num_rows, dtype=bool)
    for _ in range(_SWAPS_PER_ROW * num_rows):
        dear = int(np.where(is_settled, -1.0, price @ held).argmax())
        found = None if is_settled[dear] else _best_swap(dear, places, loads, held, limits, price)
        if found is None:
            is_settled[dear] = True
            if is_settled.all():
                break
            continue
        own, other = found
        row, change = places[other], loads[:, other] - loads[:, own]
        held[:, dear] += change
        held[:, row] -= change
        places[own] = row
        if other < num_pieces:
            places[other] = dear
    row_of[:] = places[:num_pieces]


def _best_swap(
    dear: int, places: Ints, loads: Ints, held: Ints, limits: Ints, price: npt.NDArray[np.float64]
) -> tuple[int, int] | None:
    """Return the piece of the dearest row and the one elsewhere whose swap leaves the cheaper dearest of both rows."""
    own, others = np.flatnonzero(places == dear), np.flatnonzero(places != dear)
    own = own[loads[0, own] > 0]
    rows = places[others]
    change = loads[:, others][:, None, :] - loads[:, own][:, :, None]  # [2, own, others], to the dearest row
    fits = (held[:, dear, None, None] + change <= limits[:, None, None]) & (
        held[:, rows][:, None, :] - change <= limits[:, None, None]
    )
    totals = price @ held
    delta = np.tensordot(price, change, 1)
    dearest = np.maximum(totals[dear] + delta, totals[rows] - delta)
    dearest[~fits.all(0)] = np.inf
    if not dearest.size or dearest.min() >= totals[dear]:
        return None
    best = int(dearest.argmin())
    return int(own[best // len(others)]), int(others[best % len(others)])


def deal(costs: Sequence[float], hands: int) -> list[list[int]]:
    """Return which rows each of `hands` ranks takes: as many each, their costs as even as can be; sorted.

    The dearest row goes to the rank that has least so far and still has room (longest processing time first:
    Graham 1969). The number of rows is a multiple of `hands`.
    """
    size = len(costs) // hands
    taken: list[list[int]] = [[] for _ in range(hands)]
    sums = [0.0] * hands
    for row in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        hand = min((i for i in range(hands) if len(taken[i]) < size), key=lambda i: (sums[i], i))
        taken[hand].append(row)
        sums[hand] += costs[row]
    return [sorted(rows) for rows in taken]
