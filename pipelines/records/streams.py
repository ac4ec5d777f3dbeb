"""What a plain, .gz or .zip file holds, as streams that give all that is whole before a damage."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, cast

from fsspec.spec import AbstractBufferedFile

from infimm_data.errors import SourceError
from pipelines.records.files import open_file
from pipelines.sources.contract import Skipped

MAX_ZIP_MEMBERS = 10_000
MEMBER_SUFFIXES = (".jsonl", ".json", ".ndjson", ".csv", ".tsv")
DAMAGED = (zlib.error, EOFError, zipfile.BadZipFile, gzip.BadGzipFile)
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


def open_streams(path: str, name: str) -> Iterator[tuple[str, BinaryIO] | Skipped]:
    """Yield (dump name, stream) of a file, of each member with data where it is a zip; what is lost as Skipped.

    A stream is read before the next one is asked for; it raises one of DAMAGED where it breaks. What a file is, its
    first bytes tell. A plain file can be sought in. Of a zip that was cut off the first member is read as far as it
    goes. Raises SourceError where the file cannot be read, or a zip has no member with data.
    """
    with open_file(path) as file:
        start = file.read(4)
        file.seek(0)
        if start in (b"PK\x03\x04", b"PK\x05\x06"):  # the latter is a zip without members
            yield from _zipped(file, name)
        elif start[:2] == b"\x1f\x8b":
            with gzip.open(file) as inflated:
                yield name, stepped(inflated)
        elif isinstance(file, AbstractBufferedFile):  # of a store; its readline takes no size
            yield name, BufferedReader(file, 1 << 16)  # it has all that a raw file has
        else:
            yield name, file


def stepped(file: Any) -> BinaryIO:
    """Return an inflating file as a buffered one that gives all that is whole before a damage."""
    return cast(BinaryIO, BufferedReader(_Steps(file), 1 << 16))


def _zipped(file: BinaryIO, name: str) -> Iterator[tuple[str, BinaryIO] | Skipped]:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:  # its directory stands at the end: most often the download was cut off
        first = _FirstMember(file, name)
        yield f"{name}/{first.name}", stepped(first)
        detail = f"{name}: no directory; members behind the first are lost"
        yield Skipped(reason="damaged_record", detail=detail)
        return
    with archive:
        members = [one for one in archive.infolist() if _is_data(one.filename)]
        if not members or len(members) > MAX_ZIP_MEMBERS:
            expected = f"expected 1 to {MAX_ZIP_MEMBERS} that end in {', '.join(MEMBER_SUFFIXES)}"
            raise SourceError(f"{name}: {len(members)} members with data, {expected}. Replace the file.")
        for member in members:
            dump = f"{name}/{member.filename}"
            try:
                inflated = archive.open(member)
            except (*DAMAGED, NotImplementedError, RuntimeError) as error:  # the last: an encrypted member
                yield Skipped(reason="damaged_record", detail=f"{dump}: {error}")
                continue
            with inflated:
                yield dump, stepped(inflated)


def _is_data(name: str) -> bool:
    return name.lower().endswith(MEMBER_SUFFIXES) and not name.startswith("__MACOSX/")
