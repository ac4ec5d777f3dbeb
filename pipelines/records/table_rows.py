"""Rows of Parquet files and Arrow streams, a few at a time, whatever the size of their row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import SourceError
from pipelines.records.files import Record, open_file
from pipelines.sources.contract import Preview, Skipped, WorkItem

SUFFIXES = (".parquet", ".arrow")
ROWS_AT_ONCE = 64  # interleaved documents of about 20 KB: a megabyte or two of Python objects
READ_BUFFER_BYTES = 1 << 20  # of a column chunk at a time, instead of the whole chunk
_DAMAGED = (pa.ArrowException, OSError)  # ArrowInvalid and others on what is cut or altered


def is_table(item: WorkItem) -> bool:
    """Say whether a file begins as Parquet, an Arrow file or an Arrow stream does."""
    with open_file(item.path) as file:
        start = file.read(6)
    return start[:4] in (b"PAR1", b"\xff\xff\xff\xff") or start == b"ARROW1"


def read_table_rows(item: WorkItem, columns: Sequence[str], required: Sequence[str]) -> Iterator[Record | Skipped]:
    """Yield the rows in order, with those of `columns` that the file has; rows that cannot be read as Skipped.

    required: columns without which it is another kind of file. Raises SourceError where it is no Parquet file,
    Arrow file or Arrow stream, or lacks one of these.
    """
    with open_file(item.path) as file:
        start = file.read(6)
        file.seek(0)
        try:
            batches = _parquet(file, columns) if start[:4] == b"PAR1" else _arrow(file, columns, start == b"ARROW1")
            yield from _checked(batches, item, required)
        except _DAMAGED as error:
            problem = str(error).partition("\n")[0]
            raise SourceError(
                f"{item.name}: cannot be read as Parquet or Arrow ({problem}); is the download whole? Replace it."
            ) from None


def preview_tables(items: Sequence[WorkItem]) -> Preview:
    """Tell the columns of the first Parquet file, and the rows of the first few, scaled by size to all."""
    asked = [item for item in items if item.name.lower().endswith(".parquet")][:4]
    rows, size, columns = 0, 0, ()
    for item in asked:
        try:
            with open_file(item.path) as file:
                found = pq.ParquetFile(file)
                rows, size = rows + found.metadata.num_rows, size + item.size_bytes
                columns = columns or tuple(found.schema_arrow.names)
        except (*_DAMAGED, SourceError):
            continue
    if not size:
        return Preview(how="no row counts: none of the first files is a whole Parquet file")
    scaled = round(rows * sum(item.size_bytes for item in items) / size)
    return Preview(columns=columns, num_documents=scaled, how=f"row counts of {len(asked)} of {len(items)} files")


Batches = Iterator[tuple[int, Any, int]]
"""(first row, batch, rows): the schema first; an exception in place of a batch says that these rows are lost."""


def _parquet(file: BinaryIO, columns: Sequence[str]) -> Batches:
    parquet = pq.ParquetFile(file, buffer_size=READ_BUFFER_BYTES, pre_buffer=False)
    yield 0, parquet.schema_arrow, 0
    present = [name for name in columns if name in parquet.schema_arrow.names]
    start = 0
    for group in range(parquet.num_row_groups):
        end = start + parquet.metadata.row_group(group).num_rows
        row = start
        try:
            for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=present):
                yield row, batch, batch.num_rows
                row += batch.num_rows
        except _DAMAGED as error:
            yield row, error, end - row
        start = end


def _arrow(file: BinaryIO, columns: Sequence[str], is_file: bool) -> Batches:
    reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
    yield 0, reader.schema, 0
    present = [name for name in columns if name in reader.schema.names]
    batches = (reader.get_batch(n) for n in range(reader.num_record_batches)) if is_file else iter(reader)
    row = 0
    while True:
        try:
            batch = next(batches, None)
        except _DAMAGED as error:
            yield row, error, 1  # how many rows follow, nothing tells
            return
        if batch is None:
            return
        batch = batch.select(present)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield row + start, batch.slice(start, ROWS_AT_ONCE), min(ROWS_AT_ONCE, batch.num_rows - start)
        row += batch.num_rows


def _checked(batches: Batches, item: WorkItem, required: Sequence[str]) -> Iterator[Record | Skipped]:
    _, schema, _ = next(batches)
    missing = [name for name in required if name not in schema.names]
    if missing:
        raise SourceError(
            f"{item.name}: no column {', '.join(missing)}; it has {', '.join(schema.names)[:300]}. "
            "Is it a file of this set?"
        )
    for first, batch, size in batches:
        if isinstance(batch, Exception):
            problem = str(batch).partition("\n")[0]
            for row in range(first, first + size):
                yield Skipped(reason="damaged_record", offset=row, detail=problem)
        else:
            yield from _records(batch, first, item.name)


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
        except (UnicodeDecodeError, ValueError, pa.ArrowException) as error:
            yield Skipped(reason="damaged_record", offset=first + at, detail=str(error))
