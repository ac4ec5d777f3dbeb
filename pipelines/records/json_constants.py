"""NaN, Infinity and -Infinity, which Python writes into JSON although JSON has no such values: read as null.

pandas writes NaN for every field that a row does not have, and a parser that keeps to the standard loses all rows
behind the first of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

_DECODER = json.JSONDecoder(parse_constant=lambda name: None)
_NAMES = (b"NaN", b"Infinity")
_TO_STRINGS_END = re.compile(rb'(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_STRING_OR_CONSTANT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|-?Infinity|NaN', re.DOTALL)
_TAIL = re.compile(rb"[-A-Za-z]{1,9}\Z")  # as long as the longest, "-Infinity"


def loads(data: bytes) -> Any:
    """Return what a JSON text holds, in UTF-8, 16 or 32; raises ValueError, RecursionError as `json.loads` does."""
    text = data.decode(json.detect_encoding(data), "surrogatepass")
    return _DECODER.decode(text.removeprefix("\ufeff"))


class StandardJson:
    """A stream of JSON as a strict parser reads it: null in place of the constants, wherever it is cut."""

    def __init__(self, stream: Any) -> None:
        """stream: from the beginning of a value on. What is whole before a damage is given before the damage is met."""
        self._read = stream.read1 if hasattr(stream, "read1") else stream.read
        self._held = b""
        self._is_in_string = False

    def read(self, size: int = -1) -> bytes:
        """Return some bytes, about `size` at most; none at the end."""
        while data := self._read(size):
            data, self._held = _without_tail(self._held + data)
            if data:
                return self._replaced(data)
        data, self._held = self._held, b""
        return self._replaced(data)

    def _replaced(self, data: bytes) -> bytes:
        was_in_string = self._is_in_string
        plain = data.replace(rb"\\", b"") if rb"\\" in data else data
        self._is_in_string ^= bool((plain.count(b'"') - plain.count(rb"\"")) % 2)
        if not any(name in data for name in _NAMES):
            return data
        begin = 0
        if was_in_string and (rest := _TO_STRINGS_END.match(data)):
            begin = rest.end()
        return data[:begin] + _STRING_OR_CONSTANT.sub(_null, data[begin:])


def _null(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"


def _without_tail(data: bytes) -> tuple[bytes, bytes]:
    """Return the bytes without, and with, what may go on: half an escape, a part of a constant's name."""
    backslashes = len(data) - len(data.rstrip(b"\\"))
    size = backslashes % 2
    if not backslashes and (tail := _TAIL.search(data, max(0, len(data) - 9))):
        size = len(tail[0])
    return (data[:-size], data[-size:]) if size else (data, b"")
