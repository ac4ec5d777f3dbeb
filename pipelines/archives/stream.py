"""The bytes of an archive file, decompressed, with positions that survive damage.

Why not FastWARC: it reads no ARC, steps over garbage without saying so, does not resume after a broken gzip
member, and gives no usable offset in a file that is one single gzip member (tried with 2.0.1 on every archive of
the test data). Extraction costs far more than reading, so its speed would hardly be seen.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from pipelines.archives.gzip_members import MAGIC, DamagedStreamError, GzipMembers, find_member

RECORD_START = re.compile(
    rb"WARC/\d\.\d{1,2}[ \t]*\r?\n"
    rb"|^(?:https?|ftp|dns|filedesc|whois|urn|file|metadata):[^\r\n]{1,8192} [0-9a-fA-F.:\-]{1,45} \d{8,20} "
    rb"[^\s]{1,255}(?: [^\r\n]{0,1024})?\r?\n",
    re.M,
)
"""The first line of a WARC record, or of an ARC record (URL, IP address, date, type, ..., length)."""

MAX_REWOUND_BYTES = 1 << 30  # over the life of a stream: hostile lengths must not make reading quadratic
MAX_GAP_BYTES = 1 << 28  # without a record before the rest of the file is given up: a bomb ends here
MAX_FALSE_MEMBERS = 1_000  # over the life of a stream; by chance the magic stands about 60 times in a gigabyte
_LONGEST_START = 10_240  # bytes of the longest first line that RECORD_START matches
_READ_BYTES = 1 << 16
_BEHIND_BYTES = 1 << 12  # kept behind the position, so that most rewinding is free


class ArchiveStream:
    """Reads a file that may be gzip (one member per record, or one for all) as one run of bytes.

    Where the compressed bytes are broken the stream seems to end; `raise_damage` tells, `skip_damage` goes on.
    """

    def __init__(self, file: BinaryIO) -> None:
        """file: open for reading in binary, seekable; the caller closes it."""
        file.seek(0)
        self._file = file
        self._members: GzipMembers | None = GzipMembers(file, 0) if file.read(3) == MAGIC else None
        file.seek(0)
        self._starts: dict[int, int] = {}  # position of a member's first byte -> its offset as stored
        self._buffer = b""
        self._at = 0  # in the buffer
        self._before = 0  # position of the buffer's first byte
        self._is_at_end = False
        self._rewound = 0
        self._false_members = 0
        self._damage: DamagedStreamError | None = None

    @property
    def position(self) -> int:
        """Decompressed bytes before the next byte."""
        return self._before + self._at

    @property
    def offset(self) -> int:
        """Where the next byte stands in the file as stored; inside a gzip member: in the decompressed bytes."""
        return self._starts.get(self.position, self.position)

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, at most `limit` bytes of it; b"" at the end of the file."""
        while True:
            end = self._buffer.find(b"\n", self._at, self._at + limit)
            if end >= 0:
                return self._take(end + 1 - self._at)
            if len(self._buffer) - self._at >= limit or not self._fill():
                return self._take(limit)

    def peek(self, size: int) -> bytes:
        """Return the next bytes, at most `size`, without taking them."""
        while len(self._buffer) - self._at < size and self._fill():
            pass
        return self._buffer[self._at : self._at + size]

    def skip_blank_lines(self) -> bool:
        """Move past line ends; return whether anything follows."""
        while window := self.peek(_BEHIND_BYTES):
            blank = len(window) - len(window.lstrip(b"\r\n"))
            self._take(blank)
            if blank < len(window):
                return True
        return False

    def read_block(self, size: int, keep: int) -> tuple[bytes, int]:
        """Read `size` bytes; return the first `keep` of them, and how many there were.

        Stops early at the end of the file, and where a gzip member begins with a record of its own: a block
        whose declared length reaches into its neighbour comes out short, and the neighbour stays whole.
        """
        kept, kept_size, total = [], 0, 0
        while total < size and (self._at < len(self._buffer) or self._fill()):
            if total and self.position in self._starts and self.is_at_record():
                break
            part = self._take(min(size - total, self._before_next_member()))
            total += len(part)
            if kept_size < keep:
                kept.append(part[: keep - kept_size])
                kept_size += len(kept[-1])
        return b"".join(kept), total

    def is_at_record(self) -> bool:
        """Say whether the first line of a record stands here."""
        return RECORD_START.match(self.peek(_LONGEST_START)) is not None

    def find_record(self) -> int:
        """Move to the next first line of a record, or to the end; return how many bytes were passed over.

        Gives up, as if the file ended, after MAX_GAP_BYTES.
        """
        begin = self.position
        while window := self.peek(_READ_BYTES):
            if self.position - begin > MAX_GAP_BYTES:
                self._restart(self.position, None)
                break
            match = RECORD_START.search(window) if b":" in window or b"WARC/" in window else None
            if match is not None:
                self._take(match.start())
                break
            self._take(max(len(window) - _LONGEST_START, 1) if len(window) == _READ_BYTES else len(window))
        return self.position - begin

    def rewind(self, position: int) -> bool:
        """Go back to a position not before the current record; False where that has cost too much already."""
        self._rewound += max(0, self.position - position)
        if self._rewound > MAX_REWOUND_BYTES:
            return False
        if position >= self._before:
            self._at = position - self._before
        elif self._members is None:
            self._restart(position, position)
        else:
            start = max((at for at in self._starts if at <= position), default=0)
            self._restart(start, self._starts.get(start, 0))
            self.read_block(position - start, 0)
        return True

    def raise_damage(self) -> None:
        """Raise DamagedStreamError where the next byte is missing because the compressed bytes are broken."""
        if self._damage is not None and self._at >= len(self._buffer):
            raise self._damage

    def skip_damage(self, damage: DamagedStreamError) -> None:
        """Move to the next gzip member that begins with a record, or to the end."""
        begin = self.position
        found = find_member(self._file, damage.offset + 1)
        while found >= 0 and self._false_members < MAX_FALSE_MEMBERS:
            self._restart(begin, found)
            if self.is_at_record():
                return
            self._false_members += 1
            found = find_member(self._file, found + 1)
        self._restart(begin, None)

    def forget(self) -> None:
        """Drop what only rewinding to before this position would need."""
        here = self.position
        if len(self._starts) > 64:
            first = max((at for at in self._starts if at <= here), default=0)
            self._starts = {at: stored for at, stored in self._starts.items() if at >= first}

    def _take(self, size: int) -> bytes:
        part = self._buffer[self._at : self._at + size]
        self._at += len(part)
        return part

    def _before_next_member(self) -> int:
        here = self.position
        ahead = [at - here for at in self._starts if at > here]
        return min([len(self._buffer) - self._at, *ahead])

    def _restart(self, position: int, offset: int | None) -> None:
        """Continue at `offset` of the file, calling it `position`; None: at the end."""
        self._buffer, self._at, self._before = b"", 0, position
        self._is_at_end, self._damage = offset is None, None
        if offset is not None and self._members is not None:
            self._members = GzipMembers(self._file, offset)
        elif offset is not None:
            self._file.seek(offset)

    def _fill(self) -> bool:
        if self._is_at_end:
            return False
        more = b""
        try:
            more = self._file.read(_READ_BYTES) if self._members is None else self._members.read()
        except DamagedStreamError as damage:
            self._damage = damage
        if not more:
            self._is_at_end = True
            return False
        if self._at > _READ_BYTES:
            drop = self._at - _BEHIND_BYTES
            self._buffer, self._before, self._at = self._buffer[drop:], self._before + drop, _BEHIND_BYTES
        if self._members is not None and self._members.begins_member:
            self._starts[self._before + len(self._buffer)] = self._members.member
        self._buffer += more
        return True
