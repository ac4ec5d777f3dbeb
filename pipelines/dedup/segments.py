"""Files of a shuffle: records of one kind, cut into segments by partition, so that a reader takes its own alone.

A file is raw records, chunk after chunk, each sorted by partition; then how many records of each partition every chunk
holds; then the number of chunks and of partitions. Numbers are little-endian. Written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from infimm_data.files import file_system, open_whole

Records = npt.NDArray[Any]

_FLUSH_BYTES = 4 << 20  # held before a chunk is written
_INTEGER = np.dtype("<i8")


class SegmentWriter:
    """Collects records into chunks; made by `open_segments`. num_records: written so far, by partition."""

    def __init__(self, file: IO[bytes], dtype: npt.DTypeLike, partitions: int) -> None:
        """file: open for writing; dtype: of a record."""
        self.num_records = np.zeros(partitions, dtype=np.int64)
        self._file, self._dtype = file, np.dtype(dtype)
        self._held: list[tuple[Records, npt.NDArray[np.int64]]] = []
        self._held_bytes = 0
        self._counts: list[npt.NDArray[np.int64]] = []

    def add(self, records: Records, partition: npt.NDArray[np.int64]) -> None:
        """Add records; partition: of each, 0 and up."""
        if len(records):
            self._held.append((records, partition))
            self._held_bytes += records.nbytes
        if self._held_bytes >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a chunk."""
        if not self._held:
            return
        records = np.concatenate([records for records, _ in self._held])
        partition = np.concatenate([partition for _, partition in self._held])
        self._held, self._held_bytes = [], 0
        self._file.write(records[np.argsort(partition, kind="stable")].astype(self._dtype, copy=False).tobytes())
        self._counts.append(np.bincount(partition, minlength=len(self.num_records)).astype(np.int64))
        self.num_records += self._counts[-1]

    def close(self) -> None:
        """Write what is held, and where everything lies."""
        self.flush()
        for counts in self._counts:
            self._file.write(counts.astype(_INTEGER).tobytes())
        self._file.write(np.array([len(self._counts), len(self.num_records)], dtype=_INTEGER).tobytes())


@contextmanager
def open_segments(path: str, dtype: npt.DTypeLike, partitions: int) -> Iterator[SegmentWriter]:
    """Open a file of segments for writing; it appears whole or not at all.

    It is not synced to disk: a shuffle that is cut short is begun anew.
    """
    with open_whole(path, is_durable=False) as file:
        writer = SegmentWriter(file, dtype, partitions)
        yield writer
        writer.close()


def read_segments(paths: Sequence[str], dtype: npt.DTypeLike, first: int, last: int) -> Records:
    """Return the records of the partitions first..last (exclusive) of all files, file by file."""
    kind = np.dtype(dtype)
    return np.concatenate(
        [np.empty(0, dtype=kind), *(piece for path in paths for piece in _pieces(path, kind, first, last))]
    )


def read_in_pieces(
    paths: Sequence[str], dtype: npt.DTypeLike, first: int, last: int, size_bytes: int
) -> Iterator[Records]:
    """Yield the same in pieces of about `size_bytes`, each chunk of a file whole."""
    held: list[Records] = []
    for path in paths:
        for piece in _pieces(path, np.dtype(dtype), first, last):
            held.append(piece)
            if sum(one.nbytes for one in held) >= size_bytes:
                yield np.concatenate(held)
                held = []
    if held:
        yield np.concatenate(held)


def _pieces(path: str, kind: np.dtype[Any], first: int, last: int) -> Iterator[Records]:
    fs, inside = file_system(path)
    with fs.open(inside, "rb") as file:
        file.seek(-2 * _INTEGER.itemsize, 2)
        chunks, partitions = np.frombuffer(file.read(), dtype=_INTEGER).tolist()
        if not chunks:
            return
        file.seek(-_INTEGER.itemsize * (2 + chunks * partitions), 2)
        counts = np.frombuffer(file.read(_INTEGER.itemsize * chunks * partitions), dtype=_INTEGER)
        offset = 0
        for of_chunk in counts.reshape(chunks, partitions):
            ends = np.concatenate([[0], np.cumsum(of_chunk)])
            if wanted := int(ends[last] - ends[first]):
                file.seek((offset + int(ends[first])) * kind.itemsize)
                yield np.frombuffer(file.read(wanted * kind.itemsize), dtype=kind)
            offset += int(ends[-1])
