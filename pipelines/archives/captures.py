"""Pointers to single records of archives: tables of file name, offset and length, in the layouts of Common Crawl.

| layout | columns |
|---|---|
| columnar index (Parquet), OBELICS' pointers | url, warc_filename, warc_record_offset, warc_record_length |
| cdxj lines, and csv or JSON lines made from them | url, filename, offset, length |
| OBELICS as published | `general_metadata`, a JSON object with the names of the first row |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pipelines.archives.files import is_safe_name
from pipelines.records.rows import RowFormat, read_rows
from pipelines.sources.contract import Skipped, WorkItem

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


INDEX = RowFormat(columns=_COLUMNS)
"""How an index is read."""


def read_captures(item: WorkItem, first: int, last: int) -> Iterator[Capture | BadRow]:
    """Yield the rows [first, last) of a table, whatever its layout. Raises SourceError where it cannot be read."""
    if item.path.lower().endswith(".parquet"):
        rows = read_rows(replace(item, span=(first, last)), INDEX)
    else:
        rows = islice(read_rows(replace(item, span=None), INDEX), first, last)
    for number, row in enumerate(rows, first):
        if isinstance(row, Skipped):
            yield BadRow(number, f"{row.reason}: {row.detail}"[:200])
        else:
            yield _capture(row.data, number)


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
