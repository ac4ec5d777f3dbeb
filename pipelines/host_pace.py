"""How often a host is asked: few requests at once, a pause between two, longer ones when it asks or fails.

One host's trouble costs the others nothing: what waits for it holds no place of theirs.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from dataclasses import dataclass

from pipelines.fetch_settings import FetchSettings

PRESSED = frozenset({"http_429", "http_503"})
"""Answers of a host that is asked too often (RFC 6585, RFC 9110): all its other requests wait as well."""
RETRIED = PRESSED | {"connection_error", "incomplete_body", "http_408", "http_500", "http_502", "http_504"}
"""Failures that seconds may mend. A timeout is none: it has cost its deadline, and `--retry-failed` asks again."""
DEAD = RETRIED | {"timeout", "unknown_host", "bad_certificate"}
MAX_DEAD = 10  # such failures in a row after which a host is given up for this run
GIVEN_UP = "host_given_up"
MAX_HOSTS = 10_000  # whose pace is remembered beyond those that are being asked


@dataclass(slots=True)
class Host:
    """What is remembered of a host, which is not forgotten while it is in use (`with host:`).

    places: for requests under way; free_at: loop time from which it may be asked; dead: failures in a row.
    """

    places: asyncio.Semaphore
    users: int = 0
    delay_s: float = 0.0
    free_at: float = 0.0
    dead: int = 0

    def __enter__(self) -> Host:
        self.users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.users -= 1


class HostPace:
    """The memory of every host's pace; lives in one event loop."""

    def __init__(self, settings: FetchSettings) -> None:
        """settings: its per_host, delay_s, attempts, backoff_s and max_wait_s count."""
        self._settings = settings
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def host(self, name: str) -> Host:
        """Return what is remembered of a host."""
        found = self._hosts.get(name)
        if found is None:
            self._forget()
            found = Host(asyncio.Semaphore(self._settings.per_host), delay_s=self._settings.delay_s)
            self._hosts[name] = found
        self._hosts.move_to_end(name)
        return found

    def _forget(self) -> None:
        if len(self._hosts) >= MAX_HOSTS:
            idle = next((name for name, host in self._hosts.items() if not host.users), None)
            if idle is not None:
                del self._hosts[idle]

    def is_given_up(self, host: Host) -> bool:
        """Say whether a host is dead, or wants to be left alone for longer than we wait."""
        wait = host.free_at - asyncio.get_running_loop().time()
        return host.dead >= MAX_DEAD or wait > max(self._settings.max_wait_s, host.delay_s)

    async def turn(self, host: Host) -> None:
        """Wait until the host may be asked once more."""
        loop = asyncio.get_running_loop()
        while (wait := host.free_at - loop.time()) > 0:
            await asyncio.sleep(wait)
        if host.delay_s:
            host.free_at = loop.time() + host.delay_s

    async def after(self, host: Host, url: str, status: str, retry_after_s: float | None, attempt: int) -> bool:
        """Take note of how an attempt (the first is 1) ended; return, after the wait, whether to ask again."""
        settings = self._settings
        if status not in RETRIED:
            host.dead = host.dead + 1 if status in DEAD else 0
            return False
        wait = backoff_s(url, attempt, settings.backoff_s)
        if status in PRESSED:
            wait = wait if retry_after_s is None else retry_after_s
            # Also after the last attempt: the other images of the host wait, or are not asked for at all.
            host.free_at = max(host.free_at, asyncio.get_running_loop().time() + wait)
        if attempt >= settings.attempts or wait > settings.max_wait_s:
            host.dead += 1
            return False
        await asyncio.sleep(wait)
        return True


def backoff_s(url: str, attempt: int, first_s: float) -> float:
    """Return the seconds to wait after an attempt: doubled with each, up to half as much again by the URL's CRC."""
    jitter = zlib.crc32(url.encode("utf-8", "surrogatepass")) / 2**33  # 0 up to 1/2, the same in every run
    return first_s * 2.0 ** min(attempt - 1, 30) * (1 + jitter)
