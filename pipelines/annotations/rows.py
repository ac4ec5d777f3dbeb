"""The rows of an annotation file: a JSON list, a list or an object inside a JSON object, or lines of JSON; streamed.

A file of any size is read in the memory of one row. JSON that breaks off gives every row before the break (ijson,
the streaming parser, cannot step over damage); of lines of JSON a broken one costs itself alone.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import ijson

from infimm_data.errors import SourceError
from pipelines.records.files import open_file
from pipelines.records.json_lines import read_json_lines
from pipelines.sources.contract import Skipped, WorkItem

MAX_LINE_BYTES = 1 << 27  # of one line of JSON: eight images of 10 MB in base64
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. offset: its number in a JSON file, the byte at which its line starts in lines of JSON.

    key: the name under which it stands where the rows are an object, else "".
    """

    offset: int
    data: Any
    key: str = ""


@contextmanager
def open_json(item: WorkItem) -> Iterator[BinaryIO]:
    """Open an annotation file, inflated where it is gzip; raises SourceError when it cannot be read."""
    with open_file(item.path) as raw:
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        except (zlib.error, EOFError) as error:
            raise SourceError(f"{item.path}: cannot be read ({error}). Replace the file.") from None


def read_rows(item: WorkItem, place: str | None = None) -> Iterator[Row | Skipped]:
    """Yield the rows of a file, and a Skipped for what is damaged.

    place: where the rows stand in a JSON object: the name of a list ("data"), "" for the object itself, each of
    its values a row; None for lines of JSON. A JSON list is itself the rows, whatever `place` says.
    """
    if is_lines(item, place):
        for found in read_json_lines(item, MAX_LINE_BYTES):
            yield found if isinstance(found, Skipped) else Row(found.offset, found.data)
        return
    with open_json(item) as file:
        yield from read_json(file, place)


def is_lines(item: WorkItem, place: str | None) -> bool:
    """Say whether a file is read as lines of JSON: it is to be no object of rows, and does not begin as a list."""
    if place is not None:
        return False
    with open_json(item) as file:
        return _first_byte(file)[1] != b"["


def read_json(file: BinaryIO, place: str | None) -> Iterator[Row | Skipped]:
    """Yield the rows of one JSON value from the start of a file; place: as of `read_rows`."""
    start, first = _first_byte(file)
    file.seek(start)
    prefix = "item" if first == b"[" else f"{place}.item" if place else ""
    number = 0
    try:
        for value in ijson.items(file, prefix) if prefix else ijson.kvitems(file, ""):
            yield Row(number, value) if prefix else Row(number, value[1], value[0])
            number += 1
    except ijson.JSONError as error:
        problem = " ".join(str(error).split())[:200]
        detail = f"JSON that breaks after {number} rows, the rest is lost: {problem}"
        yield Skipped(reason="damaged_record", offset=number, detail=detail)


def _first_byte(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the first byte that is neither a byte order mark nor white space stands, and that byte."""
    at = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(at)
    while (byte := file.read(1)) and byte in _BLANKS:
        at += 1
    return at, byte
