"""The signatures of a set of documents as one long column over many tables, read a batch at a time.

A position counts documents over all tables in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import InfiMMError
from infimm_data.files import file_system
from infimm_data.groups import Positions
from infimm_data.links import Signatures

_ROWS_AT_ONCE = 1 << 14  # 8 MiB of MinHash


@dataclass(frozen=True)
class Part:
    """A table with signatures: `size` rows from position `start` on; item: its key, "" of an earlier dataset."""

    path: str
    column: str
    start: int
    size: int
    item: str


def in_a_row(tables: Sequence[tuple[str, str, str]]) -> list[Part]:
    """Return tables, given as (item, path, column), with the positions at which each starts."""
    parts: list[Part] = []
    start = 0
    for item, path, column in tables:
        parts.append(Part(path, column, start, num_rows(path), item))
        start += parts[-1].size
    return parts


def num_rows(path: str) -> int:
    """Return how many rows a table has, from its footer."""
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        return int(pq.read_metadata(file).num_rows)


def batches(part: Part, size_bytes: int, rows: int) -> Iterator[tuple[Positions, Signatures]]:
    """Yield the documents of a part that have a signature: their positions, ascending, and a row of bytes for each.

    size_bytes: of a signature; rows: of the table in a batch. Raises InfiMMError where one has another length.
    """
    yield from _batches(part, size_bytes, rows, None)


def rows_at(parts: Sequence[Part], positions: Positions, size_bytes: int) -> Signatures:
    """Return the signatures at positions (ascending, each once, none empty); row groups without any are not read."""
    found = np.empty((len(positions), size_bytes), dtype=np.uint8)
    for part in parts:
        low, high = np.searchsorted(positions, [part.start, part.start + part.size])
        if low == high:
            continue
        for here, signatures in _batches(part, size_bytes, _ROWS_AT_ONCE, positions[low:high]):
            first, last = np.searchsorted(positions, [here[0], here[-1] + 1]) if len(here) else (0, 0)
            wanted = positions[first:last]
            found[first:last] = signatures[np.searchsorted(here, wanted)]
    return found


def _batches(
    part: Part, size_bytes: int, rows: int, wanted: Positions | None
) -> Iterator[tuple[Positions, Signatures]]:
    fs, inside = file_system(part.path)
    with fs.open(inside, "rb") as file:
        parquet = pq.ParquetFile(file)
        start, groups = part.start, []
        starts = {}
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            if wanted is None or np.searchsorted(wanted, start) < np.searchsorted(wanted, end):
                groups.append(group)
                starts[group] = start
            start = end
        for group in groups:
            position = starts[group]
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=[part.column]):
                present, matrix = _matrix(batch.column(0), size_bytes, part)
                yield present + position, matrix
                position += batch.num_rows


def _matrix(column: pa.Array, size_bytes: int, part: Part) -> tuple[Positions, npt.NDArray[np.uint8]]:
    """Return which rows of a binary column are not empty, and their bytes without a copy of each."""
    if pa.types.is_null(column.type):
        return np.empty(0, dtype=np.int64), np.empty((0, size_bytes), dtype=np.uint8)
    column = column.cast(pa.large_binary()).fill_null(b"")
    _, offsets_buffer, data = column.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(offsets)
    present = np.flatnonzero(lengths)
    if (lengths[present] != size_bytes).any():
        raise InfiMMError(f"{part.path}: a {part.column} is not {size_bytes} bytes long; remove it and build again")
    if not len(present):
        return present, np.empty((0, size_bytes), dtype=np.uint8)
    whole = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]]
    return present, whole.reshape(-1, size_bytes)
