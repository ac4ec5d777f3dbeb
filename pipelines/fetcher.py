"""Fetches images over HTTP from hosts that are all taken to be hostile.

One deadline covers a whole image, redirects and slow drips included; the body is counted as it arrives and as it
is decompressed. What is asked at all is decided in `pipelines.http_session`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import REDIRECTS, ConnectTo, Refused, check_url, failure, joined, new_session, opted_out

CHUNK_BYTES = 1 << 16
URLS_AHEAD = 1024  # so many answers may wait for a slow one before them
HELD_BYTES = 1 << 28  # and no new request starts while they hold more; concurrency x max_bytes may still arrive


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one URL: status "ok" and data, or a reason slug and None."""

    url: str
    status: str
    data: bytes | None = None


def fetch_all(
    urls: Iterable[str], settings: FetchSettings, connect_to: ConnectTo | None = None
) -> Generator[Fetched, None, None]:
    """Yield the answer for each URL in the order of `urls`, fetching ahead within the limits of `settings`.

    The requests go on while an answer is waited for and rest while the caller works on one. A caller that may
    stop early closes the iterator.
    """
    left = iter(urls)
    with asyncio.Runner() as runner:
        fetcher = runner.run(_new_fetcher(settings, connect_to or {}))
        try:
            while (answer := runner.run(fetcher.next(left))) is not None:
                yield answer
        finally:
            runner.run(fetcher.close())


async def _new_fetcher(settings: FetchSettings, connect_to: ConnectTo) -> _Fetcher:
    return _Fetcher(settings, connect_to)


class _Fetcher:
    """The session and the requests under way; lives in one event loop."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        # No timeout of aiohttp's own: ours starts when a place is free, so that waiting for a busy host costs nothing.
        accept = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        self._session = new_session(settings, connect_to, accept)
        self._settings = settings
        self._places = asyncio.Semaphore(settings.concurrency)
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._ahead: deque[asyncio.Task[Fetched]] = deque()
        self._held = 0

    async def next(self, urls: Iterator[str]) -> Fetched | None:
        """Return the next answer, or None after the last."""
        while len(self._ahead) < URLS_AHEAD and (self._held < HELD_BYTES or not self._ahead):
            url = next(urls, None)
            if url is None:
                break
            self._ahead.append(asyncio.create_task(self._in_turn(url)))
        if not self._ahead:
            return None
        answer = await self._ahead[0]
        self._ahead.popleft()
        self._held -= len(answer.data or b"")
        return answer

    async def close(self) -> None:
        """Cancel what is under way and close the session."""
        for task in self._ahead:
            task.cancel()
        await asyncio.gather(*self._ahead, return_exceptions=True)
        await self._session.close()

    async def _in_turn(self, url: str) -> Fetched:
        """Fetch one URL when its host and the whole have a place free."""
        try:
            host = check_url(url, self._settings).raw_host or ""
        except Refused as refused:
            return Fetched(url, refused.reason)
        at_host = self._hosts.setdefault(host, asyncio.Semaphore(self._settings.per_host))
        async with at_host, self._places:
            answer = await self._fetch(url)
        self._held += len(answer.data or b"")
        return answer

    async def _fetch(self, url: str) -> Fetched:
        """Fetch one URL; every way to fail is a status, so that the funnel names it."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return Fetched(url, "ok", await self._follow(url))
        except (Refused, TimeoutError, aiohttp.ClientError, zlib.error, OSError, ValueError) as error:
            return Fetched(url, failure(error))

    async def _follow(self, url: str) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            asked = check_url(url, self._settings)
            async with self._session.get(asked, allow_redirects=False) as response:
                if opted_out(response.headers.getall("X-Robots-Tag", [])):
                    raise Refused("opted_out")
                if response.status in REDIRECTS:
                    url = joined(asked, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise Refused(f"http_{response.status}")
                return await _body(response, self._settings.max_bytes)
        raise Refused("too_many_redirects")


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the body, decompressed where the server compressed it unasked; never more than `max_bytes` are held."""
    if (response.content_length or 0) > max_bytes:
        raise Refused("too_many_bytes")
    body = bytearray()
    unzip = _decompressor(response.headers.get("Content-Encoding", "identity").strip().lower())
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += unzip.decompress(chunk, max_bytes + 1 - len(body)) if unzip else chunk
        if len(body) > max_bytes:
            raise Refused("too_many_bytes")
    if unzip and not unzip.eof:
        raise Refused("incomplete_body")
    return bytes(body)


def _decompressor(encoding: str) -> Any:
    if encoding in ("identity", ""):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Refused("unknown_encoding")
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, as its first bytes say
