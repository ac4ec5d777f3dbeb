"""Pointers to single records of archives: tables of file name, offset and length, in the layouts of Common Crawl.

| layout | columns |
|---|---|
| columnar index (Parquet), OBELICS' pointers | url, warc_filename, warc_record_offset, warc_record_length |
| cdxj lines, and csv or JSON lines made from them | url, filename, offset, length |
| OBELICS as published | `general_metadata`, a JSON object with the names of the first row |
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from infimm_data.errors import SourceError
from pipelines.archives.files import is_safe_name, open_archive

_PARQUET = ".parquet"
_TEXT = ("csv", "tsv", "jsonl", "ndjson", "cdxj", "cdx")
SUFFIXES = (_PARQUET, *(f".{kind}{gz}" for kind in _TEXT for gz in ("", ".gz")))
MAX_LINE_BYTES = 1 << 20  # of a text table; a line of Common Crawl's index has about 500
_ROWS_AT_ONCE = 8_192  # of a Parquet file that are in memory
_NAMES: Mapping[str, tuple[str, ...]] = {
    "url": ("url",),
    "filename": ("warc_filename", "filename"),
    "offset": ("warc_record_offset", "offset"),
    "length": ("warc_record_length", "length"),
}
_NESTED = "general_metadata"
_COLUMNS = frozenset((*(name for names in _NAMES.values() for name in names), _NESTED))


@dataclass(frozen=True, slots=True, order=True)
class Capture:
    """Where one record stands: file name below a base, offset and length in bytes as stored; in reading order."""

    filename: str
    offset: int
    length: int
    url: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that points nowhere; problem: what is wrong with it."""

    row: int
    problem: str
    url: str = ""


def table_columns(path: str) -> tuple[str, ...]:
    """Return the columns of a table; of JSON lines, those of its first. Raises SourceError where it is none."""
    with open_archive(path) as file:
        if path.endswith(_PARQUET):
            return tuple(_parquet(file, path).schema_arrow.names)
        return tuple(str(name) for name in next(_text_rows(file, path, 0), {}))


def count_rows(path: str) -> int:
    """Return the rows of a table: from a Parquet file's metadata, by reading of any other. Raises SourceError."""
    with open_archive(path) as file:
        if path.endswith(_PARQUET):
            return int(_parquet(file, path).metadata.num_rows)
        return max(0, sum(1 for _ in _lines(file, path)) - (_delimiter(path) is not None))


def read_captures(path: str, first: int, last: int) -> Iterator[Capture | BadRow]:
    """Yield the rows [first, last) of a table, whatever its layout. Raises SourceError where it cannot be read."""
    with open_archive(path) as file:
        read = _parquet_rows(file, path, first, last) if path.endswith(_PARQUET) else _text_rows(file, path, first)
        for number, row in enumerate(islice(read, last - first), first):
            yield _capture(row, number)


def _capture(row: Mapping[str, Any], number: int) -> Capture | BadRow:
    if isinstance(nested := row.get(_NESTED), str):
        try:
            row = {**row, **json.loads(nested)}
        except (ValueError, TypeError, RecursionError):
            return BadRow(number, f"{_NESTED} is no JSON object")
    found = {name: next((row[key] for key in keys if row.get(key) is not None), None) for name, keys in _NAMES.items()}
    url, filename = str(found["url"] or ""), found["filename"]
    try:
        offset, length = int(found["offset"]), int(found["length"])  # type: ignore[arg-type]  # None is a TypeError
    except (TypeError, ValueError):
        return BadRow(number, f"offset {found['offset']!r}, length {found['length']!r}: expected numbers"[:200], url)
    if not isinstance(filename, str) or not is_safe_name(filename):
        return BadRow(number, f"file name {str(filename)[:100]!r}: expected a path below the base", url)
    if offset < 0 or length < 1:
        return BadRow(number, f"offset {offset}, length {length}: expected 0 or more, and 1 or more", url)
    return Capture(filename, offset, length, url)


def _parquet(file: IO[bytes], path: str) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: cannot be read as Parquet ({_line(error)}); replace the file") from None


def _parquet_rows(file: IO[bytes], path: str, first: int, last: int) -> Iterator[Mapping[str, Any]]:
    """Yield the rows [first, last), of the columns that are read; only the row groups that hold them are opened."""
    table = _parquet(file, path)
    columns = [name for name in table.schema_arrow.names if name in _COLUMNS]
    before = 0
    for group in range(table.metadata.num_row_groups):
        size = table.metadata.row_group(group).num_rows
        begin, end = max(first - before, 0), min(last - before, size)
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
    lines = _lines(file, path)
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


def _lines(file: IO[bytes], path: str) -> Iterator[str]:
    """Yield the lines of a text table that are not blank, unzipped where the file is gzip."""
    text: IO[bytes] = gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file  # type: ignore[assignment]
    try:
        while line := text.readline(MAX_LINE_BYTES):
            if len(line) == MAX_LINE_BYTES:
                raise SourceError(f"{path}: a line over {MAX_LINE_BYTES} bytes; expected a table, see the recipe")
            if line.strip():
                yield line.decode("utf-8-sig", "replace").rstrip("\r\n")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: the gzip stream is broken ({error}); replace the file") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
