"""One request and its answer, as they went over the wire: what a WARC file keeps of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from pipelines.http_session import CHUNK_BYTES

# Hop by hop: of the connection, not of the page. Common Crawl keeps the first two under such names, too.
_RENAMED = {b"transfer-encoding": b"X-Crawl-Transfer-Encoding", b"content-length": b"X-Crawl-Content-Length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """url: as asked; date: when, ISO 8601 in UTC; address: IP that answered, or ""; request, head: as HTTP/1.1 text.

    headers: of the answer, all values by name in lower case; body: as sent, content encodings not undone;
    is_cut: the body is longer than what was read of it.
    """

    url: str
    date: str
    address: str
    status: int
    request: bytes
    head: bytes
    headers: Mapping[str, list[str]] = field(repr=False)
    body: bytes = field(repr=False)
    is_cut: bool = False

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case."""
        return self.headers.get("content-type", [""])[0].partition(";")[0].strip().lower()

    @property
    def response(self) -> bytes:
        """The answer as a block of a WARC record."""
        return self.head + self.body


async def ask(session: aiohttp.ClientSession, url: URL, *, accept: str, max_bytes: int, timeout_s: float) -> Exchange:
    """Return the answer to one GET, redirects not followed, its body read up to `max_bytes`.

    timeout_s: for all of it, slow drips included. Raises TimeoutError, aiohttp.ClientError, OSError, or Refused (of
    the session's resolver).
    """
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with (
        asyncio.timeout(timeout_s),
        session.get(url, allow_redirects=False, headers={"Accept": accept}) as answer,
    ):
        address = _address(answer)
        body = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            body += chunk[: max_bytes + 1 - len(body)]
            if len(body) > max_bytes:
                break
        is_cut = len(body) > max_bytes
        headers: dict[str, list[str]] = {}
        for name, value in answer.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        kept = bytes(body[:max_bytes])
        return Exchange(
            url=str(url), date=date, address=address, status=answer.status, request=_request(answer),
            head=_head(answer, len(kept)), headers=headers, body=kept, is_cut=is_cut,
        )  # fmt: skip


def _address(answer: aiohttp.ClientResponse) -> str:
    transport = answer.connection.transport if answer.connection is not None else None
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if peer else ""


def _request(answer: aiohttp.ClientResponse) -> bytes:
    asked = answer.request_info
    lines = [f"GET {asked.url.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace")


def _head(answer: aiohttp.ClientResponse, length: int) -> bytes:
    """Return status line and headers; the length is that of the body as it is kept, chunks joined."""
    reason = (answer.reason or "").encode("latin-1", "replace")
    lines = [b"HTTP/1.1 %d %s" % (answer.status, reason)]
    lines += [_RENAMED.get(name.lower(), name) + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % length, b"", b""])
