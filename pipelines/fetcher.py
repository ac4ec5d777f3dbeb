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
from typing import Any, Protocol

import aiohttp

from pipelines.aiohttp_fetcher import AiohttpEngine
from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import ConnectTo, Refused, check_url, failure
from pipelines.img2dataset_fetcher import Img2datasetEngine

URLS_AHEAD = 1024  # so many answers may wait for a slow one before them
HELD_BYTES = 1 << 28  # and no new request starts while they hold more; concurrency x max_bytes may still arrive


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one URL: status "ok" and data, or a reason slug and None."""

    url: str
    status: str
    data: bytes | None = field(default=None, repr=False)  # asyncio shows results in messages that nobody reads


class Engine(Protocol):
    """What asks for one URL. Made with (settings, connect_to) inside the event loop that it lives in."""

    async def get(self, url: str) -> bytes:
        """Return the image file; raises Refused, or what `http_session.failure` names.

        Every hop is checked, the deadline is that of `settings` for all of it, and no more than `max_bytes` are
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
            while (answer := run(fetcher.next(left))) is not None:
                yield answer
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
    return _Fetcher(settings, ENGINES[settings.engine](settings, connect_to))


class _Fetcher:
    """The requests under way; lives in one event loop."""

    def __init__(self, settings: FetchSettings, engine: Engine) -> None:
        self._engine = engine
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
        """Cancel what is under way and close the engine."""
        for task in self._ahead:
            task.cancel()
        await asyncio.gather(*self._ahead, return_exceptions=True)
        await self._engine.close()

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
            return Fetched(url, "ok", await self._engine.get(url))
        except (Refused, TimeoutError, aiohttp.ClientError, zlib.error, OSError, ValueError) as error:
            return Fetched(url, failure(error))
