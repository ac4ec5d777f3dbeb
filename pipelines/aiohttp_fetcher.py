"""The fetch engine `infimm`: images over aiohttp, one deadline each, their bytes counted as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import (
    REDIRECTS,
    Admit,
    ConnectTo,
    Refused,
    check_use,
    decompressor,
    joined,
    new_session,
    refused_status,
)


class AiohttpEngine:
    """A session in one event loop."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """To be made inside the event loop."""
        # No timeout of aiohttp's own: ours starts when a place is free, so that waiting for a busy host costs nothing.
        accept = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        self._session = new_session(settings, connect_to, accept)
        self._settings = settings

    async def get(self, url: str, admit: Admit) -> bytes:
        """Return the body at the end of a URL's redirects; raises what `http_session.failure` names."""
        async with asyncio.timeout(self._settings.timeout_s):
            return await self._follow(url, admit)

    async def close(self) -> None:
        """Close the session and its connections."""
        await self._session.close()

    async def _follow(self, url: str, admit: Admit) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            asked = await admit(url)
            async with self._session.get(asked, allow_redirects=False) as response:
                headers = response.headers
                check_use(headers.getall("X-Robots-Tag", []), headers.getall("tdm-reservation", []))
                if response.status in REDIRECTS:
                    url = joined(asked, headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise refused_status(response.status, headers.get("Retry-After"))
                return await _body(response, self._settings.max_bytes)
        raise Refused("too_many_redirects")


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the body, decompressed where the server compressed it unasked; never more than `max_bytes` are held."""
    if (response.content_length or 0) > max_bytes:
        raise Refused("too_many_bytes")
    parts, size = [], 0
    unzip = decompressor(response.headers.get("Content-Encoding", ""))
    with _ending_with_connection(response):
        async for part in response.content.iter_any():  # as it arrived: parts of a set size would be copied once more
            parts.append(unzip.decompress(part, max_bytes + 1 - size) if unzip else part)
            size += len(parts[-1])
            if size > max_bytes:
                raise Refused("too_many_bytes")
    if unzip and not unzip.eof:
        raise Refused("incomplete_body")
    return b"".join(parts)  # a single part is not copied


@contextmanager
def _ending_with_connection(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Let the body fail when its connection closes before its end.

    aiohttp 3.14 closes the connection at a broken chunk that comes in a later packet than the headers, and whoever
    reads the body is not told: the request would live until its deadline.
    """
    connection = response.connection
    closed = connection.protocol.closed if connection is not None and connection.protocol is not None else None
    if closed is None:  # the whole body is here already
        yield
        return

    def fail(_: object) -> None:
        if not response.content.is_eof():
            response.content.set_exception(aiohttp.ClientPayloadError("the connection closed before the body's end"))

    closed.add_done_callback(fail)
    try:
        yield
    finally:
        closed.remove_done_callback(fail)
