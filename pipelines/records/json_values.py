"""Records inside one JSON value: of a list, of a list in an object, or the values of an object; streamed by ijson.

A value of any size is read in the memory of one record. JSON that breaks off gives every record before the break:
ijson cannot step over damage.
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


def read_json_values(stream: BinaryIO, dump: str, first: bytes, place: str | None) -> Iterator[Record | Skipped]:
    """Yield the records of one JSON value.

    stream: from that value on; first: its first byte; place: where the records stand in an object: the name of a list
    ("data"), or "" for the object itself, each of its values a record. A list is itself the records, whatever `place`
    says.
    """
    prefix = "item" if first == b"[" else f"{place}.item" if place else ""
    number = 0
    try:
        pieces = StandardJson(stream)
        for value in ijson.items(pieces, prefix) if prefix else ijson.kvitems(pieces, ""):
            key, data = ("", value) if prefix else value
            yield Record(dump, number, _plain(data), key)
            number += 1
    except (ijson.JSONError, *DAMAGED) as error:
        problem = " ".join(str(error).split())[:200]
        detail = f"JSON that breaks after {number} rows, the rest is lost: {problem}"
        yield Skipped(reason="damaged_record", offset=number, detail=detail)


def _plain(value: Any) -> Any:
    """Return a value with floats in place of ijson's decimals; what no float holds becomes infinite."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
