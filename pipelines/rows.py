"""Rows of a table from outside, streamed: Parquet, csv, tsv, JSON lines, cdxj; text also as .gz.

Nothing in a text table is an error but a broken gzip stream or a line that does not end: what is no row is an empty
one, for the caller to count.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import SourceError
from pipelines.archives.files import open_archive

PARQUET = ".parquet"
JSON_KINDS = ("jsonl", "ndjson", "cdxj", "cdx")
SUFFIXES = (PARQUET, *(f".{kind}{gz}" for kind in ("csv", "tsv", *JSON_KINDS) for gz in ("", ".gz")))
MAX_LINE_BYTES = 1 << 20  # of a text table; a line of Common Crawl's index has about 500
_ROWS_AT_ONCE = 8_192  # of a Parquet file that are in memory


def table_columns(path: str) -> tuple[str, ...]:
    """Return the columns of a table; of JSON lines, those of its first. Raises SourceError where it is none."""
    with open_archive(path) as file:
        if path.endswith(PARQUET):
            return tuple(_parquet(file, path).schema_arrow.names)
        lines = read_lines(file, path)
        if (delimiter := _delimiter(path)) is not None:
            return tuple(_cells(next(lines, ""), delimiter))
        return tuple(str(name) for name in _json_row(next(lines, "")))


def count_rows(path: str) -> int:
    """Return the rows of a table: from a Parquet file's metadata, by reading of any other. Raises SourceError."""
    with open_archive(path) as file:
        if path.endswith(PARQUET):
            return int(_parquet(file, path).metadata.num_rows)
        return max(0, sum(1 for _ in read_lines(file, path)) - (_delimiter(path) is not None))


def read_rows(
    path: str, columns: Collection[str], first: int = 0, last: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows [first, last) of a table, last None reads all; of Parquet only `columns`, where it has them.

    Raises SourceError where the table cannot be read.
    """
    with open_archive(path) as file:
        if path.endswith(PARQUET):
            yield from _parquet_rows(file, path, columns, first, last)
        else:
            yield from islice(_text_rows(file, path, first), None if last is None else max(0, last - first))


def _parquet(file: IO[bytes], path: str) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as Parquet ({_line(error)}); replace the file") from None


def _parquet_rows(
    file: IO[bytes], path: str, wanted: Collection[str], first: int, last: int | None
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows [first, last), of the columns that are read; only the row groups that hold them are opened."""
    table = _parquet(file, path)
    columns = [name for name in table.schema_arrow.names if name in wanted]
    before = 0
    for group in range(table.metadata.num_row_groups):
        size = table.metadata.row_group(group).num_rows
        begin, end = max(first - before, 0), size if last is None else min(last - before, size)
        before += size
        if begin >= end:
            continue
        at = 0
        try:
            for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=columns):
                yield from batch.slice(max(begin - at, 0), max(end - max(begin, at), 0)).to_pylist()
                at += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: row group {group} is damaged ({_line(error)}); replace the file") from None


def _text_rows(file: IO[bytes], path: str, first: int) -> Iterator[Mapping[str, Any]]:
    """Yield the rows from `first` on of a csv, tsv, JSON lines or cdxj file; what is none as an empty row."""
    lines = read_lines(file, path)
    delimiter = _delimiter(path)
    header = _cells(next(lines, ""), delimiter) if delimiter else []
    for line in islice(lines, first, None):
        yield dict(zip(header, _cells(line, delimiter), strict=False)) if delimiter else _json_row(line)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _json_row(line: str) -> Mapping[str, Any]:
    """Return the object of a line: alone, or after the key and the time of a cdxj line."""
    try:
        row = json.loads(line[max(line.find("{"), 0) :])
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _delimiter(path: str) -> str | None:
    kind = path.removesuffix(".gz").rpartition(".")[2]
    return {"csv": ",", "tsv": "\t"}.get(kind)


def read_lines(file: IO[bytes], path: str) -> Iterator[str]:
    """Yield the lines of a text file that are not blank, unzipped where its name says gzip. Raises SourceError."""
    text: IO[bytes] = gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file  # type: ignore[assignment]
    try:
        while line := text.readline(MAX_LINE_BYTES):
            if len(line) == MAX_LINE_BYTES:
                raise SourceError(f"{path}: a line over {MAX_LINE_BYTES} bytes; expected a table")
            if line.strip():
                yield line.decode("utf-8-sig", "replace").rstrip("\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: the gzip stream is broken ({error}); replace the file") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
