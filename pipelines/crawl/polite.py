"""Asks hosts at their pace: one request at a time each, a pause between two, longer when a host asks for it.

What is remembered of a host and its turn are those of the image fetcher (`pipelines.host_pace`). What follows from a
failure is not: a page is worth more patience than one image of many, so here a timeout is tried again, what may pass
slows its host down as well, and a host that wants a longer rest than we wait is asked again, not left alone.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from pipelines.crawl.exchange import Exchange, ask
from pipelines.crawl.settings import CrawlSettings
from pipelines.host_pace import PRESSED, Host, HostPace
from pipelines.http_session import ConnectTo, Refused, failure, new_session, retry_after_s

FIRST_WAIT_S = 2.0  # of the backoff, doubled with each attempt
MAX_DEAD = 5  # failures in a row after which a host is given up
_PASSING = frozenset({"timeout", "connection_error", "incomplete_body"})  # failures that may pass by themselves
_DEAD = _PASSING | {"unknown_host", "bad_certificate"}


class GaveUpError(Exception):
    """No answer; reason: the slug of the last failure."""

    def __init__(self, reason: str) -> None:
        """reason: as `pipelines.http_session.failure` names it."""
        super().__init__(reason)
        self.reason = reason


class PoliteClient:
    """A session with the memory of each host's pace. To be made inside an event loop, and closed."""

    def __init__(self, settings: CrawlSettings, connect_to: ConnectTo) -> None:
        """connect_to: where to reach hosts that are not where their name says."""
        self._settings = settings
        self._session = new_session(settings.fetch, connect_to, {"Accept-Encoding": "gzip, deflate, br"})
        self._places = asyncio.Semaphore(settings.fetch.concurrency)
        self._pace = HostPace(settings.fetch.model_copy(update={"per_host": 1, "delay_s": settings.delay_s}))

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

    def host(self, name: str) -> Host:
        """Return what is remembered of a host."""
        return self._pace.host(name)

    async def ask(self, url: URL, *, accept: str, max_bytes: int) -> Exchange:
        """Return the answer to one GET when it is the host's turn, asked again where that may help.

        Raises GaveUpError when there is none.
        """
        with self.host(url.raw_host or "") as host:
            return await self._answer(host, url, accept, max_bytes)

    async def _answer(self, host: Host, url: URL, accept: str, max_bytes: int) -> Exchange:
        longest = self._settings.max_wait_s
        for attempt in range(1, self._settings.attempts + 1):
            answer = await self._in_turn(host, url, accept, max_bytes)
            wait = FIRST_WAIT_S * 2 ** (attempt - 1)
            if isinstance(answer, Exchange):
                host.dead = 0
                if f"http_{answer.status}" not in PRESSED:
                    return answer
                asked_for = {"Retry-After": answer.headers.get("retry-after", [""])[0]}
                wait = retry_after_s(asked_for, datetime.now(UTC)) or wait
            elif answer not in _PASSING:
                break
            now = asyncio.get_running_loop().time()
            host.free_at = max(host.free_at, now + min(wait, longest))
            if wait > longest:
                break
        if isinstance(answer, Exchange):
            return answer
        host.dead += answer in _DEAD
        raise GaveUpError(answer)

    async def _in_turn(self, host: Host, url: URL, accept: str, max_bytes: int) -> Exchange | str:
        """Ask once; return the answer, or the slug of why there is none."""
        loop = asyncio.get_running_loop()
        async with host.places:
            await self._pace.turn(host)
            async with self._places:
                try:
                    return await ask(
                        self._session, url, accept=accept, max_bytes=max_bytes, timeout_s=self._settings.fetch.timeout_s
                    )
                except (Refused, aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                    return failure(error)
                finally:  # the pause counts from the end
                    host.free_at = max(host.free_at, loop.time() + host.delay_s)
