"""May this URL be asked for? The gate that every hop of a fetch passes: its scheme and host, and its host's rules.

Each origin's robots.txt, and over the same connection its tdmrep.json, is asked for once and remembered, bounded in
number, bytes and time; whoever comes meanwhile waits for the same answer. What tdmrep.json reserves is not asked for
at all. TDMRep lets an answer's own `tdm-reservation: 0` supersede the file ("Processing priority"), for badly
configured servers: we do not ask a host for what it reserves to learn whether it means it. A header of 1 supersedes
a file of 0, as every answer's headers are looked at.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import aiohttp
from yarl import URL

from pipelines.crawl import reservations
from pipelines.crawl.robots import MAX_ROBOTS_BYTES, MAX_ROBOTS_REDIRECTS, Robots, read_robots
from pipelines.fetch_settings import FetchSettings
from pipelines.host_pace import RETRIED, backoff_s
from pipelines.http_session import (
    CHUNK_BYTES,
    REDIRECTS,
    ConnectTo,
    Refused,
    check_url,
    decompressor,
    failure,
    joined,
    new_session,
    refused_status,
)

ROBOTS_LIFE_S = 24 * 3600.0  # RFC 9309, 2.4
NO_ROBOTS_LIFE_S = 600.0  # of an origin whose rules could not be had
MAX_ORIGINS = 5_000
MAX_CACHED_BYTES = 1 << 26  # of robots.txt files; their parsed rules take about four times as much
# What is true of the images as well: said as it is, while all else is "robots_unreachable".
_OF_THE_HOST = frozenset({"private_address", "unknown_host", "bad_certificate", "connection_error", "bad_url"})

_Origin = tuple[str, str | None, int | None]  # scheme, host, port


@dataclass(frozen=True, slots=True)
class _Rules:
    """What an origin asks of us; robots: None where it was not asked; size_bytes: of its files."""

    robots: Robots | None
    reserved: tuple[reservations.Rule, ...] = ()
    size_bytes: int = 0


@dataclass(slots=True)
class _Known:
    """What is known of an origin: the task that finds out, when it ends to count, the size of its files."""

    task: asyncio.Task[_Rules]
    ends: float = float("inf")
    size_bytes: int = 0


class Gate:
    """Checks URLs before they are asked for. To be made inside an event loop, and closed."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """connect_to: as `fetch_all` takes it."""
        self._settings = settings
        accept = {"Accept": "text/plain,*/*;q=0.5", "Accept-Encoding": "identity"}
        is_asking = settings.robots or settings.tdmrep
        self._session = new_session(settings, connect_to, accept) if is_asking else None
        self._places = asyncio.Semaphore(settings.concurrency)  # a deadline starts when a place is free
        self._known: OrderedDict[_Origin, _Known] = OrderedDict()
        self._size_bytes = 0

    async def close(self) -> None:
        """Stop asking for rules and close the session."""
        for known in self._known.values():
            known.task.cancel()
        await asyncio.gather(*(known.task for known in self._known.values()), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def admit(self, url: str) -> tuple[URL, float]:
        """Return the URL as it may be asked for, and the seconds between two requests that its host asks for.

        Raises Refused: as `check_url`, where robots.txt disallows it (`robots_disallows`) or cannot be had, where
        tdmrep.json reserves it (`opted_out`).
        """
        asked = check_url(url, self._settings)
        return asked, await self.admit_checked(asked)

    async def admit_checked(self, asked: URL) -> float:
        """Return the seconds between two requests that the host of a URL asks for; `check_url` has taken the URL."""
        if self._session is None:
            return 0.0
        rules = await self._rules(asked)
        delay_s = self._check_robots(rules.robots, asked) if rules.robots is not None else 0.0
        if reservations.is_reserved(rules.reserved, asked.raw_path_qs):
            raise Refused("opted_out", reservations.RESERVED)
        return delay_s

    def _check_robots(self, robots: Robots, asked: URL) -> float:
        """Return the Crawl-delay in seconds, 0 for none; raises Refused."""
        if robots.rules is None:
            raise Refused(robots.problem)
        if not robots.allows(str(asked)):
            raise Refused("robots_disallows", f"robots.txt: disallowed for {self._settings.agent}")
        if robots.delay_s > self._settings.max_wait_s:
            raise Refused("crawl_delay_too_long", f"robots.txt: Crawl-delay {robots.delay_s:g}")
        return robots.delay_s

    async def _rules(self, asked: URL) -> _Rules:
        key = asked.scheme, asked.raw_host, asked.port
        known = self._known.get(key)
        if known is None or known.ends < asyncio.get_running_loop().time():
            self._drop(key)
            known = self._known[key] = _Known(asyncio.create_task(self._read(key, asked.origin())))
            self._make_room()
        self._known.move_to_end(key)
        return await asyncio.shield(known.task)  # one image's deadline is not that of the rules

    def _make_room(self) -> None:
        """Forget the rules that were needed longest ago; those under way stay."""
        for key in list(self._known):
            if len(self._known) <= MAX_ORIGINS and self._size_bytes <= MAX_CACHED_BYTES:
                return
            if self._known[key].task.done():
                self._drop(key)

    def _drop(self, key: _Origin) -> None:
        if (gone := self._known.pop(key, None)) is not None:
            self._size_bytes -= gone.size_bytes

    async def _read(self, key: _Origin, origin: URL) -> _Rules:
        rules = await self._read_robots(origin) if self._settings.robots else _Rules(None)
        if self._settings.tdmrep:
            rules = await self._with_reservations(rules, origin)
        known = self._known[key]  # it is not dropped before its task is done
        life = NO_ROBOTS_LIFE_S if rules.robots is not None and rules.robots.rules is None else ROBOTS_LIFE_S
        known.ends, known.size_bytes = asyncio.get_running_loop().time() + life, rules.size_bytes
        self._size_bytes += rules.size_bytes
        return rules

    async def _read_robots(self, origin: URL) -> _Rules:
        agent, answer = self._settings.agent, await self._asked(str(origin.with_path("/robots.txt")))
        if isinstance(answer, str):
            return _Rules(Robots(None, agent, answer if answer in _OF_THE_HOST else "robots_unreachable"))
        return _Rules(read_robots(*answer, agent), size_bytes=len(answer[1]))

    async def _with_reservations(self, rules: _Rules, origin: URL) -> _Rules:
        """Return the rules with those of tdmrep.json, which is asked for where robots.txt allows that."""
        url = str(origin.with_path(reservations.PATH))
        if rules.robots is not None and not rules.robots.allows(url):
            return rules
        answer = await self._asked(url)
        if isinstance(answer, str) or answer[0] != 200:
            return rules  # "Failure to provide access [...] implies that the origin server does not implement" it
        reserved = reservations.read_reservations(answer[1], origin.raw_host or "")
        return _Rules(rules.robots, reserved, rules.size_bytes + len(answer[1]))

    async def _asked(self, url: str) -> tuple[int, bytes] | str:
        """Return status and body, asked for again where seconds may mend what failed; the slug of what did not mend."""
        settings = self._settings
        for attempt in range(1, settings.attempts + 1):
            wait = backoff_s(url, attempt, settings.backoff_s)
            try:
                async with self._places, asyncio.timeout(settings.timeout_s):
                    return await self._follow(url)
            except (Refused, TimeoutError, aiohttp.ClientError, zlib.error, OSError, ValueError) as error:
                slug = failure(error)
                asked_for: float | None = getattr(error, "retry_after_s", None)
                wait = wait if asked_for is None else asked_for
            if slug not in RETRIED or wait > settings.max_wait_s:
                break
            if attempt < settings.attempts:
                await asyncio.sleep(wait)
        return slug

    async def _follow(self, url: str) -> tuple[int, bytes]:
        """Return status and body at the end of the redirects; raises what `http_session.failure` names."""
        assert self._session is not None
        for _ in range(MAX_ROBOTS_REDIRECTS + 1):
            asked = check_url(url, self._settings)
            async with self._session.get(asked, allow_redirects=False) as response:
                if response.status in REDIRECTS:
                    url = joined(asked, response.headers.get("Location", ""))
                    continue
                if response.status == 429 or response.status >= 500:
                    raise refused_status(response.status, response.headers.get("Retry-After"))
                return response.status, await _beginning(response) if response.status == 200 else b""
        raise Refused("too_many_redirects")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first `MAX_ROBOTS_BYTES` of a body, decompressed where the server compressed it unasked."""
    body = bytearray()
    unzip = decompressor(response.headers.get("Content-Encoding", ""))
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        left = MAX_ROBOTS_BYTES - len(body)
        body += unzip.decompress(chunk, left) if unzip else chunk[:left]
        if len(body) >= MAX_ROBOTS_BYTES:
            break
    return bytes(body)
