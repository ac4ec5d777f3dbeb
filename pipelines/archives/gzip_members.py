"""The members of a .gz file, inflated in bounded steps, with the offset of each and the way past a broken one."""

from __future__ import annotations

import zlib
from typing import BinaryIO

MAGIC = b"\x1f\x8b\x08"
_READ_BYTES = 1 << 16
_STEP_BYTES = 1 << 18  # most that one read yields: a decompression bomb costs time, never memory


class DamagedStreamError(Exception):
    """The compressed bytes are broken or end early. offset: of the gzip member, in the file as stored."""

    def __init__(self, offset: int, detail: str) -> None:
        """detail: what is wrong, as a clause."""
        super().__init__(detail)
        self.offset = offset
        self.detail = detail


class GzipMembers:
    """Reads member after member. `member` is the offset of the one that the last bytes came from."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        """file: seekable; offset: where a member begins."""
        file.seek(offset)
        self._file = file
        self._pending = b""  # read from the file, not inflated yet
        self._next = offset  # offset of the first pending byte
        self._inflater: zlib._Decompress | None = None
        self.member = offset
        self._is_first = False
        self.begins_member = False

    def read(self) -> bytes:
        """Return the next bytes of one member, b"" at the end of the file. Raises DamagedStreamError.

        `begins_member` then says whether they are its first.
        """
        while True:
            if not self._pending:
                self._pending = self._file.read(_READ_BYTES)
            if not self._pending:
                return self._finish()
            if self._inflater is None and not self._open_member():
                return b""
            if out := self._inflate():
                return out

    def _inflate(self) -> bytes:
        assert self._inflater is not None
        try:
            out = self._inflater.decompress(self._pending, _STEP_BYTES)
        except zlib.error as error:
            raise DamagedStreamError(self.member, f"gzip member is broken ({error})") from None
        rest = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        self._next += len(self._pending) - len(rest)
        self._pending = rest
        self.begins_member, self._is_first = self._is_first and bool(out), self._is_first and not out
        if self._inflater.eof:
            self._inflater = None
        return out

    def _open_member(self) -> bool:
        while len(self._pending) < len(MAGIC) and (more := self._file.read(_READ_BYTES)):
            self._pending += more
        if not self._pending.startswith(MAGIC):
            if not self._pending.strip(b"\0\r\n") and not self._file.read(1):
                return False  # padding after the last member
            raise DamagedStreamError(self._next, f"{self._pending[:8]!r} where a gzip member should begin")
        self.member = self._next
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._is_first = True
        return True

    def _finish(self) -> bytes:
        if self._inflater is None:
            return b""
        self._inflater = None
        raise DamagedStreamError(self.member, "gzip member is cut short by the end of the file")


def find_member(file: BinaryIO, offset: int) -> int:
    """Return the offset of the next gzip magic at or after `offset`, or -1; it may stand there by chance."""
    file.seek(offset)
    window = b""
    while chunk := file.read(_READ_BYTES):
        window = window[-(len(MAGIC) - 1) :] + chunk
        if (found := window.find(MAGIC)) >= 0:
            return offset + len(chunk) - len(window) + found
        offset += len(chunk)
    return -1
