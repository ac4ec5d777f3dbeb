"""Records inside one JSON value: of a list, of a list in an object, or the values of an object; streamed by ijson.

A value of any size is read in the memory of one record. JSON that breaks off, or holds a record that is too large,
gives every record before that: ijson cannot step over anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

import ijson

from pipelines.records.files import Record
from pipelines.records.json_constants import StandardJson
from pipelines.records.streams import DAMAGED
from pipelines.sources.contract import Skipped

MAX_UNCLOSED = 5_000  # brackets of one record: ijson keeps the whole path to each, 60 MB at this depth


def read_json_values(
    stream: BinaryIO, dump: str, first: bytes, place: str | None, max_bytes: int
) -> Iterator[Record | Skipped]:
    """Yield the records of one JSON value.

    stream: from that value on; first: its first byte; place: where the records stand in an object: the name of a list
    ("data"), or "" for the object itself, each of its values a record. A list is itself the records, whatever `place`
    says. max_bytes: of one record, about; not looked at in a named list, around which other lists stand.
    """
    prefix = "item" if first == b"[" else f"{place}.item" if place else ""
    number = 0
    try:
        pieces = _Bounded(stream, None if prefix.endswith(".item") else max_bytes)
        for value in ijson.items(pieces, prefix) if prefix else ijson.kvitems(pieces, ""):
            key, data = ("", value) if prefix else value
            yield _record(dump, number, data, key)
            number += 1
            pieces.waiting = pieces.unclosed = 0
    except _TooLargeError as error:
        detail = f"{dump}: {error} in row {number}; the rest is lost"
        yield Skipped(reason="record_too_large", offset=number, detail=detail)
    except (ijson.JSONError, *DAMAGED) as error:
        problem = " ".join(str(error).split())[:200]
        detail = f"JSON that breaks after {number} rows, the rest is lost: {problem}"
        yield Skipped(reason="damaged_record", offset=number, detail=detail)


def _record(dump: str, number: int, data: Any, key: str) -> Record | Skipped:
    try:
        return Record(dump, number, _plain(data), key)
    except RecursionError:
        return Skipped(reason="not_json", offset=number, detail=f"{dump}: row {number} is nested too deeply")


class _TooLargeError(Exception):
    """A record that is larger than what is read of one."""


class _Bounded(StandardJson):
    """The stream of a parser that holds what it read until a record is whole.

    waiting: how many bytes that is; unclosed: brackets that it opens and does not close, those in texts counted too.
    """

    def __init__(self, stream: BinaryIO, most: int | None) -> None:
        super().__init__(stream)
        self._most = most
        self._rest = b""
        self.waiting = self.unclosed = 0

    def read(self, size: int = -1) -> bytes:
        """Return some bytes; raises _TooLargeError where more of them than allowed were no record."""
        if self._most is not None and self.waiting > self._most:
            raise _TooLargeError(f"over {self._most} bytes")
        if self.unclosed >= MAX_UNCLOSED:
            raise _TooLargeError(f"{MAX_UNCLOSED} unclosed brackets")
        data, self._rest = self._rest or super().read(size), b""
        most = MAX_UNCLOSED - self.unclosed
        if data.count(b"[") + data.count(b"{") > most:  # then so few bytes at once that they cannot open more
            data, self._rest = data[:most], data[most:]
        self.waiting += len(data)
        self.unclosed += data.count(b"[") + data.count(b"{") - data.count(b"]") - data.count(b"}")
        return data


def _plain(value: Any) -> Any:
    """Return a value with floats in place of ijson's decimals; what no float holds becomes infinite."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
