"""Lines of JSON in a plain, .gz or .zip file, each at most so long; one broken line costs itself only.

A .json file that is one object, or a list of objects, over many lines is read as well, whole.
"""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO

from infimm_data.errors import SourceError
from pipelines.records.files import Record, open_file
from pipelines.sources.contract import Skipped, WorkItem

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zip", ".json", ".json.gz", ".json.zip")
MAX_ZIP_MEMBERS = 10_000
_MEMBER_SUFFIXES = (".jsonl", ".json")
_DAMAGED = (zlib.error, EOFError, zipfile.BadZipFile, gzip.BadGzipFile)
_BOM = b"\xef\xbb\xbf"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip member (APPNOTE.TXT 4.3.7)


class _Steps(RawIOBase):
    """A file inflated a step at a time, so that damage ahead does not swallow what is whole before it.

    gzip and zip fill a buffer as far as asked, and on damage forget what they put there.
    """

    def __init__(self, file: Any) -> None:
        """file: with `read1`, as gzip's and zip's have it, or a plain one."""
        self._read = file.read1 if hasattr(file, "read1") else file.read

    def readable(self) -> bool:
        """Say yes: a BufferedReader asks."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the beginning of the buffer with what one step gives; 0 at the end."""
        data: bytes = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def read_json_lines(item: WorkItem, max_bytes: int) -> Iterator[Record | Skipped]:
    """Yield the object of each line, blank ones aside; `not_json`, `record_too_large`, `damaged_record` as Skipped.

    max_bytes: of one line. What is behind the damage of a .gz or a zip member cannot be read: one Skipped says so.
    Of a zip
    that was cut off its first member is read as far as it goes. Raises SourceError where it has none.
    """
    with open_file(item.path) as file:
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            yield from _zipped(file, item.name, max_bytes)
        elif start[:2] == b"\x1f\x8b":
            with gzip.open(file) as inflated:
                yield from _lines(inflated, item.name, max_bytes)
        else:
            yield from _lines(file, item.name, max_bytes)


class _FirstMember:
    """The first member of a zip that has lost its directory, inflated from its local header on."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """file: the zip; name: for messages. Raises SourceError where no member can be read so."""
        file.seek(0)
        header = file.read(_LOCAL_HEADER.size)
        _, _, flags, method, *_, name_size, extra_size = (
            _LOCAL_HEADER.unpack(header) if len(header) == _LOCAL_HEADER.size else (0,) * 11
        )
        if method != zipfile.ZIP_DEFLATED or flags & 1:
            found = "no directory, and a first member that is not deflated"
            raise SourceError(f"{name}: cannot be read as a zip ({found}); is the download whole? Replace it.")
        self.name = file.read(name_size).decode("utf-8", "replace")
        file.seek(extra_size, 1)
        self._file = file
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def read1(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the member's end; raises EOFError where the file ends before that."""
        while not self._inflate.eof:
            stored = self._inflate.unconsumed_tail or self._file.read(1 << 14)
            if not stored:
                raise EOFError("the zip ends in the middle")
            if data := self._inflate.decompress(stored, size):
                return data
        return b""


def inflated(items: Sequence[WorkItem]) -> list[WorkItem]:
    """Return the items with the sizes that they inflate to, by the ratio of the first: offsets are counted in these."""
    if not items or not items[0].size_bytes:
        return list(items)
    first = items[0]
    size = first.size_bytes
    with open_file(first.path) as file:
        start = file.read(4)
        if start == b"PK\x03\x04":
            file.seek(0)
            try:
                with zipfile.ZipFile(file) as archive:
                    size = sum(one.file_size for one in archive.infolist() if _is_data(one.filename))
            except zipfile.BadZipFile:
                return list(items)  # whoever reads it names it
        elif start[:2] == b"\x1f\x8b":
            file.seek(-4, 2)
            size = int.from_bytes(file.read(4), "little")  # RFC 1952: of the last member, modulo 2**32
    return [replace(item, size_bytes=item.size_bytes * size // first.size_bytes) for item in items]


def _zipped(file: BinaryIO, name: str, max_bytes: int) -> Iterator[Record | Skipped]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:  # its directory stands at the end: most often the download was cut off
        first = _FirstMember(file, name)
        yield from _lines(first, f"{name}/{first.name}", max_bytes)
        yield Skipped(reason="damaged_record", detail=f"{name}: no directory; members behind the first are lost")
        return
    with archive:
        members = [one for one in archive.infolist() if _is_data(one.filename)]
        if not members or len(members) > MAX_ZIP_MEMBERS:
            expected = f"expected 1 to {MAX_ZIP_MEMBERS} that end in {', '.join(_MEMBER_SUFFIXES)}"
            raise SourceError(f"{name}: {len(members)} members with data, {expected}. Replace the file.")
        for member in members:
            dump = f"{name}/{member.filename}"
            try:
                with archive.open(member) as inflated:
                    yield from _lines(inflated, dump, max_bytes)
            except (*_DAMAGED, NotImplementedError, RuntimeError) as error:  # the last: an encrypted member
                yield Skipped(reason="damaged_record", detail=f"{dump}: {error}")


def _is_data(name: str) -> bool:
    return name.lower().endswith(_MEMBER_SUFFIXES) and not name.startswith("__MACOSX/")


def _lines(file: Any, dump: str, max_bytes: int) -> Iterator[Record | Skipped]:
    with closing(BufferedReader(_Steps(file), 1 << 16)) as lines:
        offset, is_first = 0, True
        while True:
            try:
                line = lines.readline(max_bytes + 1)
                size = len(line) if len(line) <= max_bytes else len(line) + _skip_line(lines, line)
            except _DAMAGED as error:
                yield Skipped(reason="damaged_record", offset=offset, detail=f"{dump}: {error}; the rest is lost")
                return
            if not line:
                return
            if len(line) > max_bytes:
                yield Skipped(reason="record_too_large", offset=offset, detail=f"{dump}: {size} bytes in one line")
            elif is_first and line.strip() and (whole := _over_many_lines(line, lines, dump, max_bytes)) is not None:
                yield from whole
                return
            elif line.strip():
                yield _checked(_parsed(line, dump, offset), dump, offset)
            is_first = is_first and not line.strip()
            offset += size


def _skip_line(lines: BinaryIO, begun: bytes) -> int:
    """Read to the end of a line whose beginning is too long already; return how many bytes that were."""
    skipped = 0
    while begun and not begun.endswith(b"\n"):
        begun = lines.readline(1 << 20)
        skipped += len(begun)
    return skipped


def _over_many_lines(first: bytes, lines: BinaryIO, dump: str, max_bytes: int) -> list[Record | Skipped] | None:
    """Return the records of a .json that is one value over many lines (or a list on one); None where it is none."""
    text = first.removeprefix(_BOM).strip()
    if text != b"{" and not text.startswith(b"["):
        return None
    data = first + lines.read(max_bytes + 1 - len(first))
    if len(data) > max_bytes:
        return [Skipped(reason="record_too_large", offset=0, detail=f"{dump}: one value of over {max_bytes} bytes")]
    found = _parsed(data, dump, 0)
    if isinstance(found, list):
        return [_checked(one, dump, number) for number, one in enumerate(found)]
    return [_checked(found, dump, 0)]


def _parsed(line: bytes, dump: str, offset: int) -> Any:
    """Return the value of a line, or a Skipped."""
    try:
        return json.loads(line.removeprefix(_BOM))
    except (ValueError, RecursionError) as error:  # a wrong encoding is a ValueError too
        return Skipped(reason="not_json", offset=offset, detail=f"{dump}: {error}")


def _checked(data: Any, dump: str, offset: int) -> Record | Skipped:
    if isinstance(data, dict):
        return Record(dump, offset, data)
    if isinstance(data, Skipped):
        return data
    return Skipped(reason="not_json", offset=offset, detail=f"{dump}: {type(data).__name__}, expected an object")
