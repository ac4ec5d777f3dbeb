"""Asks hosts at their pace: one request at a time each, a pause between two, longer when a host asks for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from pipelines.crawl.exchange import Exchange, ask
from pipelines.crawl.settings import CrawlSettings
from pipelines.http_session import ConnectTo, Refused, failure, new_session, retry_after_s

PRESSED = frozenset({429, 503})  # answers of a host that is asked too often (RFC 6585, RFC 9110)
FIRST_WAIT_S = 2.0  # of the backoff, doubled with each attempt
MAX_DEAD = 5  # failures in a row after which a host is given up
_MAX_HOSTS = 10_000  # whose pace is remembered beyond those that are being asked
_PASSING = frozenset({"timeout", "connection_error", "incomplete_body"})  # failures that may pass by themselves
_DEAD = _PASSING | {"unknown_host", "bad_certificate"}


@dataclass(slots=True)
class Host:
    """free_at: loop time from which it may be asked again; delay_s: its pace; dead: failures in a row."""

    delay_s: float
    free_at: float = 0.0
    dead: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


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
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

    def host(self, name: str) -> Host:
        """Return what is remembered of a host."""
        found = self._hosts.setdefault(name, Host(delay_s=self._settings.delay_s))
        self._hosts.move_to_end(name)
        if len(self._hosts) > _MAX_HOSTS:
            oldest = next(iter(self._hosts))
            if not self._hosts[oldest].lock.locked():
                del self._hosts[oldest]
        return found

    async def ask(self, url: URL, *, accept: str, max_bytes: int) -> Exchange:
        """Return the answer to one GET when it is the host's turn, asked again where that may help.

        Raises GaveUpError when there is none.
        """
        host = self.host(url.raw_host or "")
        longest = self._settings.max_wait_s
        for attempt in range(1, self._settings.attempts + 1):
            answer = await self._in_turn(host, url, accept, max_bytes)
            wait = FIRST_WAIT_S * 2 ** (attempt - 1)
            if isinstance(answer, Exchange):
                host.dead = 0
                if answer.status not in PRESSED:
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
        async with host.lock:
            await asyncio.sleep(max(0.0, host.free_at - loop.time()))
            async with self._places:
                try:
                    return await ask(
                        self._session, url, accept=accept, max_bytes=max_bytes, timeout_s=self._settings.fetch.timeout_s
                    )
                except (Refused, aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                    return failure(error)
                finally:
                    host.free_at = max(host.free_at, loop.time() + host.delay_s)
