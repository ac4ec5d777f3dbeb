"""The records of a WARC or ARC file, in order, with what is damaged between and inside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from pipelines.archives.gzip_members import DamagedStreamError
from pipelines.archives.stream import ArchiveStream

MAX_HEADER_BYTES = 1 << 16  # of one record; Apache's and nginx's limits on HTTP headers are below it too
_ARC_LINE = re.compile(rb"(\S.*) (\S+) (\d{8,20}) (\S+)(?: .*)? (\S+)\s*$")
_WARC_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record.

    offset: as `ArchiveStream.offset`; kind: WARC-Type in lower case, "response" for what an ARC holds; url: ""
    where it names none; date: ISO 8601 in UTC or ""; media_type: the block's; headers: of the WARC record, names
    in lower case; block: its first `keep` bytes; size_bytes: of the whole block; missing_bytes: how many of the
    declared bytes the file does not hold.
    """

    offset: int
    kind: str
    url: str
    date: str
    media_type: str
    block: bytes
    size_bytes: int
    missing_bytes: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Say whether `block` is all of the block."""
        return len(self.block) == self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes that are no whole record.

    detail: what was found, in one line; url: where a record still names it; is_record: whether the first line of
    a record was there.
    """

    offset: int
    detail: str
    url: str = ""
    is_record: bool = True


@dataclass(frozen=True, slots=True)
class _Head:
    kind: str
    url: str
    date: str
    media_type: str
    length: int
    headers: Mapping[str, str]
    is_loose: bool = False  # an ARC's own description, whose declared length is often wrong


class _BadHeadError(Exception):
    """A record's header cannot be used; the message says why, url names the record."""

    def __init__(self, message: str, url: str = "") -> None:
        super().__init__(message)
        self.url = url


def read_records(file: BinaryIO, keep: Callable[[str, str], int]) -> Iterator[Record | Damage]:
    """Yield every record of an archive, and a Damage for everything that is not one, in order.

    file: plain or gzip, WARC or ARC, seekable; keep(kind, url): how many bytes of its block are wanted. Memory is
    bounded by that. After damage, reading resumes at the next gzip member or first line of a record.
    """
    stream = ArchiveStream(file)
    while True:
        offset, head = stream.offset, None
        try:
            if not stream.skip_blank_lines():
                stream.raise_damage()
                return
            offset = stream.offset
            if not stream.is_at_record():
                found = stream.peek(24)
                passed = stream.find_record()
                yield Damage(
                    offset=offset, detail=f"{passed} bytes that belong to no record: {found!r}", is_record=False
                )
                continue
            stream.forget()
            head = _read_head(stream)
            stream.raise_damage()
            yield from _read_body(stream, offset, head, keep(head.kind, head.url))
        except _BadHeadError as bad:
            yield Damage(offset=offset, detail=str(bad), url=bad.url)
        except DamagedStreamError as damage:
            url = head.url if head else ""
            yield Damage(offset=damage.offset, detail=damage.detail, url=url, is_record=head is not None)
            stream.skip_damage(damage)


def _read_body(stream: ArchiveStream, offset: int, head: _Head, keep: int) -> Iterator[Record | Damage]:
    start = stream.position
    block, size = stream.read_block(head.length, keep)
    if size < head.length:
        stream.raise_damage()
    if head.is_loose and (size < head.length or not _is_at_end_of_record(stream)):
        stream.rewind(start)
        stream.find_record()
        return
    if (size < head.length or not _is_at_end_of_record(stream)) and (
        true_size := _true_size(stream, start, head.length)
    ) is not None:
        detail = f"declares {head.length} bytes, but the next record begins after {true_size}"
        yield Damage(offset=offset, detail=detail, url=head.url)
        return
    yield Record(
        offset=offset,
        kind=head.kind,
        url=head.url,
        date=head.date,
        media_type=head.media_type,
        block=block,
        size_bytes=size,
        missing_bytes=head.length - size,
        headers=head.headers,
    )


def _is_at_end_of_record(stream: ArchiveStream) -> bool:
    stream.skip_blank_lines()
    return not stream.peek(1) or stream.is_at_record()


def _true_size(stream: ArchiveStream, start: int, length: int) -> int | None:
    """Where another record begins inside the declared block, move there and return the bytes before it."""
    after = stream.position
    if not stream.rewind(start):
        return None
    size = stream.find_record()
    if size < length and stream.peek(1):
        return size
    stream.rewind(start)
    stream.read_block(after - start, 0)
    return None


def _read_head(stream: ArchiveStream) -> _Head:
    line = stream.readline(MAX_HEADER_BYTES)
    return _warc_head(stream) if line.startswith(b"WARC/") else _arc_head(line)


def _warc_head(stream: ArchiveStream) -> _Head:
    lines: list[bytes] = []
    size = 0
    while (line := stream.readline(MAX_HEADER_BYTES)).strip():
        size += len(line)
        if size > MAX_HEADER_BYTES:
            raise _BadHeadError(f"record header over {MAX_HEADER_BYTES} bytes")
        lines.append(line)
    headers = parse_header_lines(lines)
    url = headers.get("warc-target-uri", "").strip("<> ")
    length = headers.get("content-length", "")
    if not length.isascii() or not length.isdigit():
        raise _BadHeadError(f"Content-Length {length!r}: expected a number", url)
    date = headers.get("warc-date", "")
    return _Head(
        kind=headers.get("warc-type", "").lower(),
        url=url,
        date=date if _WARC_DATE.fullmatch(date) else "",
        media_type=headers.get("content-type", ""),
        length=int(length),
        headers=headers,
    )


def _arc_head(line: bytes) -> _Head:
    match = _ARC_LINE.match(line)
    if match is None:
        raise _BadHeadError(f"ARC record line {line[:80]!r}: expected URL, address, date, type and length")
    url, length = match[1].decode("utf-8", "replace"), match[5]
    is_description = url.startswith("filedesc:")
    if not length.isdigit():
        raise _BadHeadError(f"Archive-length {length.decode('ascii', 'replace')!r}: expected a number", url)
    return _Head(
        kind="warcinfo" if is_description else "response",
        url=url,
        date=_arc_date(match[3].decode("ascii")),
        media_type=match[4].decode("ascii", "replace"),
        length=int(length),
        headers={},
        is_loose=is_description,
    )


def _arc_date(digits: str) -> str:
    try:
        date = datetime.strptime(digits[:14].ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_header_lines(lines: list[bytes]) -> dict[str, str]:
    """Return `Name: value` lines as a mapping, names in lower case; the first of equal names stands.

    A line that begins with white space continues the one before it; lines without a colon are passed over.
    """
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line[:1] in b" \t" and name:
            headers[name] += " " + _decode(line)
            continue
        before, colon, value = line.partition(b":")
        name = _decode(before).lower() if colon else ""
        if name:
            headers.setdefault(name, _decode(value))
    return headers


def _decode(value: bytes) -> str:
    try:
        return value.strip().decode("utf-8")
    except UnicodeDecodeError:
        return value.strip().decode("latin-1")
