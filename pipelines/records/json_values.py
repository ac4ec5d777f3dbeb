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
            yield Record(dump, number, _plain(data), key)
            number += 1
            pieces.waiting = 0
    except _TooLargeError:
        detail = f"{dump}: over {max_bytes} bytes in row {number}; the rest is lost"
        yield Skipped(reason="record_too_large", offset=number, detail=detail)
    except (ijson.JSONError, *DAMAGED) as error:
        problem = " ".join(str(error).split())[:200]
        detail = f"JSON that breaks after {number} rows, the rest is lost: {problem}"
        yield Skipped(reason="damaged_record", offset=number, detail=detail)


class _TooLargeError(Exception):
    """A record that is larger than what is read of one."""


class _Bounded(StandardJson):
    """The stream of a parser that holds what it read until a record is whole; waiting: how much that is."""

    def __init__(self, stream: BinaryIO, most: int | None) -> None:
        super().__init__(stream)
        self._most = most
        self.waiting = 0

    def read(self, size: int = -1) -> bytes:
        """Return some bytes; raises _TooLargeError where more of them than allowed were no record."""
        if self._most is not None and self.waiting > self._most:
            raise _TooLargeError
        data = super().read(size)
        self.waiting += len(data)
        return data


def _plain(value: Any) -> Any:
    """Return a value with floats in place of ijson's decimals; what no float holds becomes infinite."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
