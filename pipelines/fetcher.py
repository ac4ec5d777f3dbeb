"""Fetches images from hosts that are all taken to be hostile: many at once, few per host, answers in order.

What is asked at all is decided in `pipelines.http_session`; an engine asks it, within a deadline for a whole image
and a bound on its bytes.
"""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import aiohttp
from yarl import URL

from pipelines.aiohttp_fetcher import AiohttpEngine
from pipelines.fetch_settings import FetchSettings
from pipelines.gate import Gate
from pipelines.host_pace import GIVEN_UP, Host, HostPace
from pipelines.http_session import Admit, ConnectTo, Refused, check_url, failure
from pipelines.img2dataset_fetcher import Img2datasetEngine

URLS_AHEAD = 1024  # so many answers may wait for a slow one before them
AT_ONCE = 64  # answers handed over together, where so many are there
BYTES_AT_ONCE = 1 << 24
HELD_BYTES = 1 << 28  # and no new request starts while they hold more; concurrency x max_bytes may still arrive


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one URL: status "ok" and data, or a reason slug and None.

    host: that the last request went to, redirects followed, None where there was none; directive: what it said in its
    own words where it does not want this use; told_at: when, ISO 8601 in UTC.
    """

    url: str
    status: str
    data: bytes | None = field(default=None, repr=False)  # asyncio shows results in messages that nobody reads
    host: str | None = None
    directive: str | None = None
    told_at: str | None = None


class Engine(Protocol):
    """What asks for one URL. Made with (settings, connect_to) inside the event loop that it lives in."""

    async def get(self, url: str, admit: Admit) -> bytes:
        """Return the image file; raises Refused, or what `http_session.failure` names.

        Every hop passes `admit`, the deadline is that of `settings` for all of it, and no more than `max_bytes` are
        held.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


ENGINES: dict[str, Callable[[FetchSettings, ConnectTo], Engine]] = {
    "infimm": AiohttpEngine,
    "img2dataset": Img2datasetEngine,
}


def fetch_all(
    urls: Iterable[str], settings: FetchSettings, connect_to: ConnectTo | None = None
) -> Generator[Fetched, None, None]:
    """Yield the answer for each URL in the order of `urls`, fetching ahead within the limits of `settings`.

    The requests live in a thread of their own and go on while the caller works on an answer, so that its work costs
    no request its deadline. A caller that may stop early closes the iterator. Raises ConfigError where the engine's
    package is not installed.
    """
    left = iter(urls)
    with _loop_in_thread() as run:
        fetcher: _Fetcher = run(_new_fetcher(settings, connect_to or {}))
        try:
            while answers := run(fetcher.next(left)):
                yield from answers
        finally:
            run(fetcher.close())


@contextmanager
def _loop_in_thread() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run an event loop in a thread; yield what runs a coroutine there and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fetch", daemon=True)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _new_fetcher(settings: FetchSettings, connect_to: ConnectTo) -> _Fetcher:
    return _Fetcher(settings, ENGINES[settings.engine](settings, connect_to), Gate(settings, connect_to))


class _Fetcher:
    """The requests under way; lives in one event loop."""

    def __init__(self, settings: FetchSettings, engine: Engine, gate: Gate) -> None:
        self._engine, self._gate, self._settings = engine, gate, settings
        self._places = asyncio.Semaphore(settings.concurrency)
        self._pace = HostPace(settings)
        self._ahead: deque[asyncio.Task[Fetched]] = deque()
        self._held = 0

    async def next(self, urls: Iterator[str]) -> list[Fetched]:
        """Return the next answer and those behind it that are there already; an empty list after the last."""
        while len(self._ahead) < URLS_AHEAD and (self._held < HELD_BYTES or not self._ahead):
            url = next(urls, None)
            if url is None:
                break
            self._ahead.append(asyncio.create_task(self._in_turn(url)))
        if not self._ahead:
            return []
        await self._ahead[0]
        answers: list[Fetched] = []
        size = 0
        while self._ahead and self._ahead[0].done() and len(answers) < AT_ONCE and size < BYTES_AT_ONCE:
            answers.append(self._ahead.popleft().result())
            size += len(answers[-1].data or b"")
        self._held -= size
        return answers

    async def close(self) -> None:
        """Cancel what is under way and close engine and gate."""
        for task in self._ahead:
            task.cancel()
        await asyncio.gather(*self._ahead, return_exceptions=True)
        await self._engine.close()
        await self._gate.close()

    async def _in_turn(self, url: str) -> Fetched:
        """Fetch one URL when its host and the whole have a place free, again while that may help."""
        try:
            checked = check_url(url, self._settings)
        except Refused as refused:
            return Fetched(url, refused.reason)
        name = checked.raw_host or ""
        with self._pace.host(name) as host:
            for attempt in range(1, self._settings.attempts + 1):
                async with host.places:
                    if self._pace.is_given_up(host):
                        return Fetched(url, GIVEN_UP, host=name)
                    answer, retry_after_s = await self._attempt(url, checked, host)
                if not await self._pace.after(host, url, answer.status, retry_after_s, attempt):
                    break
        self._held += len(answer.data or b"")
        return answer

    async def _attempt(self, url: str, checked: URL, host: Host) -> tuple[Fetched, float | None]:
        """Ask once; return the answer and the seconds that the host wants to be left alone, None where it says none.

        Every way to fail is a status, so that the funnel names it.
        """
        asked = [checked.raw_host]

        async def admit(hop: str) -> URL:
            found = checked if hop == url else (await self._gate.admit(hop))[0]
            asked.append(found.raw_host)
            return found

        try:
            delay_s = await self._gate.admit_checked(checked)  # before the deadline: waiting for robots.txt is free
            host.delay_s = max(self._settings.delay_s, delay_s)
            await self._pace.turn(host)
            async with self._places:
                return Fetched(url, "ok", await self._engine.get(url, admit), asked[-1]), None
        except Refused as refused:
            told_at = datetime.now(UTC).isoformat(timespec="seconds") if refused.directive else None
            answer = Fetched(url, refused.reason, None, asked[-1], refused.directive, told_at)
            return answer, refused.retry_after_s
        except (TimeoutError, aiohttp.ClientError, zlib.error, OSError, ValueError) as error:
            return Fetched(url, failure(error), None, asked[-1]), None
