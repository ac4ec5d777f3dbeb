"""Rows of Parquet files and Arrow streams, a few megabytes at a time, whatever the size of their row groups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import SourceError
from pipelines.records.files import Record
from pipelines.sources.contract import Skipped

SUFFIXES = (".parquet", ".arrow")
BATCH_BYTES = 2 << 20  # of the rows that are Python objects at once, as Parquet counts them: some times that in memory
MAX_BATCH_ROWS = 1_024
READ_BUFFER_BYTES = 1 << 20  # of a column chunk at a time, instead of the whole chunk
_ARROW_ROWS = 64  # of an Arrow file, which does not tell the size of a row
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)  # what is cut or altered, names of columns included

Batches = Iterator[tuple[int, Any, int]]
"""(first row, batch, rows): an exception in place of a batch says that these rows are lost."""


def is_table(start: bytes) -> bool:
    """Say whether a file with these first six bytes is Parquet, an Arrow file or an Arrow stream."""
    return start[:4] in (b"PAR1", b"\xff\xff\xff\xff") or start == b"ARROW1"


class Table:
    """An open Parquet file, Arrow file or Arrow stream; `columns` in their order, `num_rows` None where not told."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """name: of the file, for messages. Raises SourceError where it is none of these."""
        self._name = name
        self._parquet = self._arrow = None
        self.num_rows: int | None = None
        file.seek(0)
        start = file.read(6)
        file.seek(0)
        try:
            if start[:4] == b"PAR1" or not is_table(start):
                # With pre_buffer, which pyarrow turned on by default, a row group is read before its first row.
                self._parquet = pq.ParquetFile(file, buffer_size=READ_BUFFER_BYTES, pre_buffer=False)
                self.num_rows, schema = int(self._parquet.metadata.num_rows), self._parquet.schema_arrow
            else:
                is_file = start == b"ARROW1"
                self._arrow = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
                schema = self._arrow.schema
        except DAMAGED as error:
            raise SourceError(
                f"{name}: cannot be read as Parquet or Arrow ({_line(error)}); is the download whole? Replace it."
            ) from None
        self.columns = tuple(schema.names)

    def read(self, wanted: Collection[str] | None, span: tuple[int, int] | None = None) -> Iterator[Record | Skipped]:
        """Yield the rows of the span (None: all) in order, with those of the wanted columns (None: all) that there are.

        Each row that is lost is a Skipped: `damaged_record`, or `not_utf8` where one of its texts is none.
        """
        columns = [name for name in self.columns if wanted is None or name in wanted]
        batches = self._arrow_batches(columns) if self._parquet is None else self._parquet_batches(columns, span)
        first, last = span or (0, None)
        for start, batch, size in batches:
            begin, end = max(first - start, 0), size if last is None else min(last - start, size)
            if begin >= end:
                continue
            if isinstance(batch, Exception):
                for row in range(start + begin, start + end):
                    yield Skipped(reason="damaged_record", offset=row, detail=_line(batch))
            else:
                yield from _records(batch.slice(begin, end - begin), start + begin, self._name)

    def _parquet_batches(self, columns: Sequence[str], span: tuple[int, int] | None) -> Batches:
        assert self._parquet is not None
        start = 0
        for group in range(self._parquet.num_row_groups):
            about = self._parquet.metadata.row_group(group)
            row, end = start, start + about.num_rows
            start = end
            if span is not None and not (row < span[1] and span[0] < end):
                continue
            at_once = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
            try:
                for batch in self._parquet.iter_batches(at_once, row_groups=[group], columns=list(columns)):
                    yield row, batch, batch.num_rows
                    row += batch.num_rows
                    if span is not None and row >= span[1]:
                        return
                if row < end:
                    yield row, EOFError(f"row group {group} ends {end - row} rows early"), end - row
            except DAMAGED as error:
                yield row, error, end - row

    def _arrow_batches(self, columns: Sequence[str]) -> Batches:
        reader: Any = self._arrow
        is_file = hasattr(reader, "num_record_batches")
        batches = (reader.get_batch(n) for n in range(reader.num_record_batches)) if is_file else iter(reader)
        row = 0
        while True:
            try:
                batch = next(batches, None)
            except DAMAGED as error:
                yield row, error, 1  # how many rows follow, nothing tells
                return
            if batch is None:
                return
            batch = batch.select(columns)
            for start in range(0, batch.num_rows, _ARROW_ROWS):
                yield row + start, batch.slice(start, _ARROW_ROWS), min(_ARROW_ROWS, batch.num_rows - start)
            row += batch.num_rows


def _records(batch: pa.RecordBatch, first: int, dump: str) -> Iterator[Record | Skipped]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (UnicodeDecodeError, ValueError, pa.ArrowException):
        yield from _records_one_by_one(batch, first, dump)
        return
    for row, data in enumerate(rows, first):
        yield Record(dump, row, data)


def _records_one_by_one(batch: pa.RecordBatch, first: int, dump: str) -> Iterator[Record | Skipped]:
    """Convert row by row: bytes that are no UTF-8 in one row cost that row only."""
    for at in range(batch.num_rows):
        try:
            yield Record(dump, first + at, batch.slice(at, 1).to_pylist()[0])
        except UnicodeDecodeError as error:
            yield Skipped(reason="not_utf8", offset=first + at, detail=str(error))
        except (ValueError, pa.ArrowException) as error:
            yield Skipped(reason="damaged_record", offset=first + at, detail=str(error))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
