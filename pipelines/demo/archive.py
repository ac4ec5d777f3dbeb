"""The demo's web as WARC/1.0 files, as a crawler would write them; nothing in them depends on the clock."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from pipelines.archives.writer import REQUEST, RESPONSE, WARC_FIELDS, digest, record_id, warc_record
from pipelines.demo.web import Page, Picture

_START = datetime(2022, 11, 24, 3, 0, 0, tzinfo=UTC)  # of the crawl that never was
_CHUNK_BYTES = 1_000


@dataclass
class Archive:
    """A WARC file in the making: records are appended, `data` is the file so far."""

    name: str
    data: bytearray = field(default_factory=bytearray)
    records: int = 0

    def __post_init__(self) -> None:
        """Open with the record that says what the file is."""
        text = f"software: infimm demo\r\nformat: WARC File Format 1.0\r\nisPartOf: {self.name}\r\n"
        self._record("warcinfo", text.encode(), WARC_FIELDS, (("WARC-Filename", self.name),))

    def page(self, page: Page) -> None:
        """Append a page as a crawler does: its request, its response, and now and then metadata."""
        self._request(page.url)
        headers = [*page.headers, ("Content-Type", page.content_type)]
        body = page.body
        if page.coding == "gzip":
            headers.append(("Content-Encoding", "gzip"))
            body = gzip.compress(body, 9, mtime=0)
        elif page.coding == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            body = _chunked(body)
        self._response(page.url, page.status, tuple(headers), body)
        if self.records % 7 == 0:
            text = b"fetchTimeMs: 120\r\ncharset-detected: UTF-8\r\n"
            self._record("metadata", text, WARC_FIELDS, (("WARC-Target-URI", page.url),))

    def picture(self, picture: Picture) -> None:
        """Append the response that holds a picture, after the redirect to it where it has moved."""
        if picture.moved_to:
            self._response(picture.url, 301, (("Location", picture.moved_to),), b"")
        self._response(picture.moved_to or picture.url, 200, (("Content-Type", picture.content_type),), picture.body)

    def _request(self, url: str) -> None:
        host, _, path = url.removeprefix("http://").partition("/")
        text = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: infimm-demo\r\n\r\n"
        self._record("request", text.encode(), REQUEST, (("WARC-Target-URI", url),))

    def _response(self, url: str, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
        if not any(name == "Transfer-Encoding" for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        block = "\r\n".join([*lines, "", ""]).encode() + body
        named = (("WARC-Target-URI", url), ("WARC-Payload-Digest", digest(body)))
        self._record("response", block, RESPONSE, named)

    def _record(self, kind: str, block: bytes, content_type: str, named: tuple[tuple[str, str], ...]) -> None:
        self.data += warc_record(
            kind,
            block,
            record_id=record_id(self.name, self.records),
            date=(_START + timedelta(seconds=self.records)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            content_type=content_type,
            fields=named,
            version="1.0",
        )
        self.records += 1


def _chunked(body: bytes) -> bytes:
    chunks = [body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def compressor() -> str:
    """Return the version of zlib, on which the compressed bytes (never the records) depend."""
    return zlib.ZLIB_RUNTIME_VERSION
