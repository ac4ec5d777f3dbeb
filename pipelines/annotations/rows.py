"""The rows of an annotation file: a JSON list, a list or an object inside a JSON object, or lines of JSON; streamed.

A file of any size is read in the memory of one row. JSON that breaks off gives every row before the break (ijson,
the streaming parser, cannot step over damage); of lines of JSON a broken one costs itself alone.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import fsspec
import ijson

from infimm_data.errors import SourceError

MAX_LINE_BYTES = 1 << 27  # of one line of JSON: eight images of 10 MB in base64; a longer one is damage
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_BLANKS = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. offset: its number in a JSON file, the byte at which its line starts in lines of JSON.

    key: the name under which it stands where the rows are an object, else "".
    """

    offset: int
    data: Any
    key: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """What is no row: one line, or all of a JSON file from row number `offset` on."""

    offset: int
    detail: str


@contextmanager
def open_rows(path: str) -> Iterator[BinaryIO]:
    """Open an annotation file, inflated where its name ends in .gz; raises SourceError when it cannot be read."""
    try:
        with fsspec.open(path, "rb") as raw:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if path.endswith(".gz") else raw
    except (OSError, zlib.error, EOFError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); expected an annotation file. Check it.") from None


def read_rows(file: BinaryIO, place: str | None = None) -> Iterator[Row | Damage]:
    """Yield the rows of a file from its start.

    place: where the rows stand in a JSON object: the name of a list ("data"), "" for the object itself, each of
    its values a row; None for lines of JSON. A JSON list is itself the rows, whatever `place` says.
    """
    start, first = _first_byte(file)
    file.seek(start)
    if first == b"[":
        yield from _numbered(file, "item")
    elif place is None:
        yield from _lines(file, start)
    elif place:
        yield from _numbered(file, f"{place}.item")
    else:
        yield from _numbered(file, "")


def _first_byte(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the first byte that is neither a byte order mark nor white space stands, and that byte."""
    at = len(_BOM) if file.read(len(_BOM)) == _BOM else 0
    file.seek(at)
    while (byte := file.read(1)) and byte in _BLANKS:
        at += 1
    return at, byte


def _numbered(file: BinaryIO, prefix: str) -> Iterator[Row | Damage]:
    number = 0
    try:
        found = ijson.items(file, prefix) if prefix else ijson.kvitems(file, "")
        for value in found:
            yield Row(number, value) if prefix else Row(number, value[1], value[0])
            number += 1
    except ijson.JSONError as error:
        problem = " ".join(str(error).split())
        yield Damage(number, f"JSON that breaks after {number} rows, the rest is lost: {problem[:200]}")


def _lines(file: BinaryIO, start: int) -> Iterator[Row | Damage]:
    offset = start
    while line := file.readline(MAX_LINE_BYTES):
        length = len(line)
        if length == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while more := file.readline(MAX_LINE_BYTES):
                length += len(more)
                if more.endswith(b"\n"):
                    break
            yield Damage(offset, f"a line of {length} bytes; at most {MAX_LINE_BYTES} are read")
        elif line.strip():
            yield _line(line, offset)
        offset += length


def _line(line: bytes, offset: int) -> Row | Damage:
    try:
        return Row(offset, json.loads(line))
    except (ValueError, RecursionError) as error:
        return Damage(offset, f"not JSON: {error}")
