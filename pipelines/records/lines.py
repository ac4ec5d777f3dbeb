"""The lines of a stream, each at most so long; a longer one costs itself, damage what is behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from pipelines.records.streams import DAMAGED
from pipelines.sources.contract import Skipped

BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """offset: the byte at which it starts; data: with its line break, without a byte order mark."""

    offset: int
    data: bytes


def read_lines(
    stream: BinaryIO, dump: str, max_bytes: int, span: tuple[int, int] | None = None
) -> Iterator[Line | Skipped]:
    """Yield the lines that are not blank; `record_too_large` and `damaged_record` as Skipped.

    span: the bytes in which a line is to begin, None for all of them; only a plain file has spans. max_bytes: of one
    line. Memory: one line.
    """
    start, end = span or (0, None)
    offset = start
    try:
        if start:  # a line that began before the span belongs to the part before
            stream.seek(start - 1)
            offset += _skip_line(stream, b"-") - 1
        while end is None or offset < end:
            line = stream.readline(max_bytes + 1)
            if not line:
                return
            size = len(line)
            if size > max_bytes:
                size += _skip_line(stream, line)
                yield Skipped(reason="record_too_large", offset=offset, detail=f"{dump}: {size} bytes in one line")
            elif line.strip():
                yield Line(offset, line.removeprefix(BOM) if offset == 0 else line)
            offset += size
    except DAMAGED as error:
        yield Skipped(reason="damaged_record", offset=offset, detail=f"{dump}: {error}; the rest is lost")


def _skip_line(stream: BinaryIO, begun: bytes) -> int:
    """Read to the end of a line of which the beginning was read; return how many bytes that were."""
    skipped = 0
    while begun and not begun.endswith(b"\n"):
        begun = stream.readline(1 << 20)
        skipped += len(begun)
    return skipped
