"""The WARC files of one part of a crawl: appended visit by visit, and taken up again where a killed run stopped.

A visit is a URL with all that asking for it took: request and response of each hop, and at its end a metadata
record that says how it came out. Only with that record a visit counts; what stands behind the last one is cut off.
A file that is being written ends in `.open`, so that nobody reads it, and loses that when it is full.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pipelines.archives.records import Damage, Record, parse_header_lines, read_records
from pipelines.archives.writer import REQUEST, RESPONSE, WARC_FIELDS, warc_fields, warc_record
from pipelines.crawl.exchange import Exchange
from pipelines.crawl.payloads import KINDS, Payload, Payloads, payload_digest, revisit_fields

Kind = Literal["page", "image", "robots", "tdmrep", "sitemap"]

OPEN = ".open"  # as Heritrix marks them
_STORED: frozenset[str] = frozenset(("robots", "tdmrep", "sitemap"))  # answers that a later run needs again
_METADATA_BYTES = 1 << 16
REVISIT = "revisit"
"""The outcome of a visit whose answer was the same as an earlier one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the last answer of a visit stands, and when it was given (ISO 8601 in UTC)."""

    path: Path
    offset: int
    date: str


@dataclass(slots=True)
class PartArchive:
    """folder: local; part: number; segment_bytes: size from which a file is full.

    counts: visits by (kind, outcome) over all runs.
    """

    folder: Path
    part: int
    segment_bytes: int
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _done: set[bytes] = field(default_factory=set)
    _stored: dict[tuple[str, str], Stored] = field(default_factory=dict)
    _payloads: Payloads = field(default_factory=Payloads)
    _segment: int = 0
    _file: io.FileIO | None = None

    def __post_init__(self) -> None:
        """Read what earlier runs left, and cut off the visit in which one was killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob(f"{self.part:05d}-*.warc.gz*")):
            self._payloads.end_file()
            end = self._scan(path)
            self._segment = int(path.name[6:11]) + 1
            if path.name.endswith(OPEN):
                self._segment -= 1
                if end == 0:
                    path.unlink()  # killed before its first visit was whole
                    continue
                os.truncate(path, end)
                self._file = path.open("ab", buffering=0)
            else:
                self._payloads.end_file()

    def holds(self, kind: Kind, url: str) -> bool:
        """Say whether a URL was visited, however that came out."""
        return _key(kind, url) in self._done

    def stored(self, kind: Kind, url: str) -> tuple[str, bytes] | None:
        """Return (date, response block) of an earlier visit to a file of rules or a sitemap, or None."""
        place = self._stored.get((kind, url))
        if place is None:
            return None
        with place.path.open("rb") as file:
            file.seek(place.offset)
            for record in read_records(io.BytesIO(file.read(self.segment_bytes)), lambda kind, url: 1 << 26):
                return (place.date, record.block) if isinstance(record, Record) else None
        return None

    def append(self, kind: Kind, url: str, outcome: str, exchanges: Sequence[Exchange], *, keeps_last: bool) -> None:
        """Write a visit in one piece; keeps_last: the body of the last answer is wanted and allowed."""
        file = self._opened()
        pieces: list[bytes] = []
        offset = file.tell()
        for exchange in exchanges:
            is_last = exchange is exchanges[-1]
            if is_last and keeps_last and (found := payload_digest(kind, exchange)):
                known, response_id = self._payloads.find(kind, found), _new_id()
                answer = _records(exchange, response_id, digest=found, revisits=known)
                self._payloads.note(kind, found, Payload(exchange.url, exchange.date, response_id))
                outcome = outcome if known is None else REVISIT
            else:
                answer = _records(exchange, _new_id() if keeps_last or not is_last else None)
            if is_last and kind in _STORED and len(answer) > 1:
                place = Stored(Path(file.name), offset + sum(map(len, pieces)) + len(answer[0]), exchange.date)
                self._stored[kind, url] = place
            pieces += answer
        pieces.append(_metadata(kind, url, outcome, len(exchanges)))
        _write(file, b"".join(pieces))
        self._note(_key(kind, url), kind, outcome)
        if file.tell() >= self.segment_bytes:
            self.close()

    def close(self) -> None:
        """End the file under way: from now on it is an archive like any other."""
        if self._file is None:
            return
        os.fsync(self._file.fileno())
        self._file.close()
        path = Path(str(self._file.name))
        whole = path.rename(path.with_name(path.name.removesuffix(OPEN)))
        for key, place in self._stored.items():
            if place.path == path:
                self._stored[key] = replace(place, path=whole)
        self._file = None
        self._segment += 1
        self._payloads.end_file()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            name = f"{self.part:05d}-{self._segment:05d}.warc.gz"
            self._file = (self.folder / (name + OPEN)).open("ab", buffering=0)
            block = warc_fields((("software", "infimm"), ("format", "WARC File Format 1.1"), ("robots", "obey")))
            fields = (("WARC-Filename", name),)
            _write(self._file, _record("warcinfo", block, _now(), WARC_FIELDS, fields))
        return self._file

    def _note(self, key: bytes, kind: str, outcome: str) -> None:
        self._done.add(key)
        self.counts[kind, outcome] += 1

    def _scan(self, path: Path) -> int:
        """Note the visits of a file; return where the last whole one ends."""
        last: tuple[Record, Record | None] | None = None
        end, answer = 0, None
        with path.open("rb") as file:
            for record in read_records(file, lambda kind, url: _METADATA_BYTES if kind == "metadata" else 0):
                if last is not None and record.offset != last[0].offset:
                    end = record.offset
                    self._note_visit(path, *last)
                last = None
                if isinstance(record, Damage):
                    return end
                if record.kind == "response":
                    answer = record
                elif record.kind == "metadata" and not record.missing_bytes:
                    last, answer = (record, answer), None
            if last is not None:
                end = file.seek(0, os.SEEK_END)
                self._note_visit(path, *last)
        return end

    def _note_visit(self, path: Path, record: Record, answer: Record | None) -> None:
        said = parse_header_lines(record.block.split(b"\n"))
        kind = said.get("kind", "")
        try:
            key = bytes.fromhex(said.get("visit", ""))
        except ValueError:
            key = _key(kind, record.url)
        self._note(key, kind, said.get("outcome", ""))
        if answer is None:
            return
        if kind in _STORED:
            self._stored[kind, record.url] = Stored(path, answer.offset, answer.date)
        elif kind in KINDS and (found := answer.headers.get("warc-payload-digest")):
            place = Payload(answer.url, answer.date, answer.headers.get("warc-record-id", ""))
            self._payloads.note(kind, found, place)


def _write(file: io.FileIO, data: bytes) -> None:
    """Hand all of it to the system at once, so that a kill -9 afterwards loses nothing."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _records(
    exchange: Exchange, response_id: str | None, *, digest: str = "", revisits: Payload | None = None
) -> list[bytes]:
    """Return the request, and the answer where it has an id: of a payload that stands elsewhere its headers alone."""
    about: tuple[tuple[str, str], ...] = (("WARC-Target-URI", exchange.url),)
    if exchange.address:
        about += (("WARC-IP-Address", exchange.address),)
    concurrent = ("WARC-Concurrent-To", response_id or _new_id())
    asked = _record("request", exchange.request, exchange.date, REQUEST, (*about, concurrent))
    if response_id is None:
        return [asked]
    about += (("WARC-Truncated", "length"),) if exchange.is_cut else ()
    about += (("WARC-Payload-Digest", digest),) if digest else ()
    if revisits is None:
        return [asked, _record("response", exchange.response, exchange.date, RESPONSE, about, response_id)]
    about += tuple(revisit_fields(revisits))
    return [asked, _record("revisit", exchange.head, exchange.date, RESPONSE, about, response_id)]


def _metadata(kind: str, url: str, outcome: str, num_hops: int) -> bytes:
    # The key names the URL as it was given: a header line cannot hold every URL that a list may.
    fields = (("kind", kind), ("outcome", outcome), ("hops", str(num_hops)), ("visit", _key(kind, url).hex()))
    block = warc_fields(fields)
    return _record("metadata", block, _now(), WARC_FIELDS, (("WARC-Target-URI", url),))


def _record(
    kind: str, block: bytes, date: str, content_type: str, fields: Sequence[tuple[str, str]], record_id: str = ""
) -> bytes:
    return warc_record(
        kind, block, record_id=record_id or _new_id(), date=date, content_type=content_type, fields=fields
    )


def _new_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(kind: str, url: str) -> bytes:
    return hashlib.blake2b(f"{kind} {url}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
