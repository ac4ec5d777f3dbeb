"""Rows of a Parquet file, a batch at a time; a damaged row group costs its own rows only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import SourceError
from infimm_data.tables import DAMAGED
from pipelines.sources.contract import Skipped

ROWS_PER_BATCH = 1_024  # of short texts and numbers: some hundred KB, of long captions a few MB
BUFFER_BYTES = 1 << 20  # read ahead per column, so that a row group of gigabytes is never held


class ParquetRows:
    """An open Parquet file of which the rows in `span` are read (None: all)."""

    def __init__(self, file: IO[bytes], name: str, span: tuple[int, int] | None) -> None:
        """name: of the file, for messages. Raises SourceError when it is no Parquet file."""
        try:
            # With pre_buffer, which pyarrow turned on by default, the whole row group is read before its first row.
            self._file = pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except DAMAGED as error:
            problem = str(error).splitlines()[0].rstrip(".")
            raise SourceError(f"{name}: no Parquet file ({problem}); remove it or fetch it again.") from None
        self.columns = tuple(self._file.schema_arrow.names)
        self._span = span or (0, self._file.metadata.num_rows)

    def read(self, wanted: frozenset[str]) -> Iterator[tuple[int, Mapping[str, Any]] | Skipped]:
        """Yield (row, values) of the span; where a row group breaks off, one Skipped stands for the rest of it."""
        names = [name for name in self.columns if name in wanted]
        start = 0
        for group in range(self._file.num_row_groups):
            end = start + self._file.metadata.row_group(group).num_rows
            if end > self._span[0] and start < self._span[1]:
                yield from self._group(group, start, names)
            start = end

    def _group(self, group: int, start: int, names: list[str]) -> Iterator[tuple[int, Mapping[str, Any]] | Skipped]:
        row = start
        try:
            for batch in self._file.iter_batches(ROWS_PER_BATCH, row_groups=[group], columns=names):
                first, end = max(self._span[0] - row, 0), min(self._span[1] - row, batch.num_rows)
                if first < end:
                    part = batch.slice(first, end - first)
                    values = [_values(part.column(name)) for name in names]
                    for at in range(end - first):
                        yield row + first + at, {name: column[at] for name, column in zip(names, values, strict=True)}
                row += batch.num_rows
                if row >= self._span[1]:
                    return
        except DAMAGED as error:
            at = max(row, self._span[0])
            yield Skipped(reason="damaged_rows", offset=at, detail=f"row group {group}: {str(error).splitlines()[0]}")


def _values(column: pa.Array) -> list[Any]:
    """Return the values as Python's; texts that are not UTF-8 as the bytes they are."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return list(column.cast(pa.large_binary()).to_pylist())
