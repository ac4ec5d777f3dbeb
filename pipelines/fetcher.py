"""Fetches images over HTTP from hosts that are all taken to be hostile.

Every hop of every request is checked: the scheme, the host as it will be connected to, and each address that its
name resolves to (the connection takes exactly those addresses, so a name cannot change its mind in between). One
deadline covers a whole image, redirects and slow drips included; the body is counted as it arrives and as it is
decompressed. TLS certificates are verified.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pipelines.fetch_settings import FetchSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})
OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml"})
"""X-Robots-Tag directives that refuse this use: img2dataset's deny list and `noml`, which its users asked for."""
CHUNK_BYTES = 1 << 16
HEADER_BYTES = 16_384  # of one header line: above any honest one, far below harm
NUM_HEADERS = 128  # aiohttp's own bound, written out because the safety of a run depends on it
URLS_AHEAD = 1024  # so many answers may wait for a slow one before them
HELD_BYTES = 1 << 28  # and no new request starts while they hold more; concurrency x max_bytes may still arrive

ConnectTo = Mapping[str, tuple[str, int]]
"""Host name -> (address, port) to connect to instead, as curl's --connect-to: how tests and the demo serve a web."""


class Refused(Exception):  # noqa: N818  # an answer, not an error
    """A request that is not made, or an answer that is not taken; `reason` is the status slug."""

    def __init__(self, reason: str) -> None:
        """reason: a slug for the funnel."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one URL: status "ok" and data, or a reason slug and None."""

    url: str
    status: str
    data: bytes | None = None


_IPV6_INTERNET = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is assigned to the open internet (IANA)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the open internet; mapped and translated IPv6 is unwrapped first."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast
    inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inner is None and ip in _NAT64:
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(str(inner))
    return ip.is_global and ip in _IPV6_INTERNET


class _GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that lead to a private or local address."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        # Threads of our own, one per request: dead names block for seconds, and the loop's few would starve the rest.
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="resolve")
        self._allowed = frozenset(settings.allow_private_hosts)
        self._connect_to = connect_to

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host; raises OSError when it has none, Refused when one is not public."""
        name, port = self._connect_to.get(host, (host, port))
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, name, port, family)
        if host not in self._allowed and not all(is_public(address) for _, address in found):
            raise Refused("private_address")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in found
        ]

    async def close(self) -> None:
        """Leave threads that still wait for an answer behind; they end with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(name: str, port: int, family: Any) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
    return [(int(kind), str(address[0])) for kind, _, _, _, address in found]


def check_url(url: str, settings: FetchSettings) -> URL:
    """Return the URL as it will be asked; raises Refused when it is not to be.

    That is: another scheme, no host, credentials, a private address. The host is judged in the form that is
    connected to: "１２７.０.０.１" in full-width digits is 127.0.0.1.
    """
    try:
        parsed = URL(url)
        host = parsed.raw_host
    except ValueError:  # UnicodeError of a host that IDNA refuses is one too
        raise Refused("bad_url") from None
    if parsed.scheme not in ("http", "https"):
        raise Refused("unsupported_scheme")
    if not host or parsed.raw_user is not None or parsed.raw_password is not None:
        raise Refused("bad_url")
    if host not in settings.allow_private_hosts and not _may_be_public(host):
        raise Refused("private_address")
    return parsed


def _may_be_public(host: str) -> bool:
    """Return False for the literal of a private address; names are judged by the resolver."""
    try:
        return is_public(host)
    except ValueError:
        return True


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
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(settings, connect_to),
            limit=settings.concurrency,
            limit_per_host=settings.per_host,
            ttl_dns_cache=300,
        )
        # No timeout of aiohttp's own: ours starts when a place is free, so that waiting for a busy host costs nothing.
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": settings.user_agent, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=NUM_HEADERS,
            auto_decompress=False,  # `_Body` does it and counts
            trust_env=False,
        )
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
        except Refused as refused:
            return Fetched(url, refused.reason)
        except TimeoutError:
            return Fetched(url, "timeout")
        except aiohttp.ClientConnectorCertificateError:
            return Fetched(url, "bad_certificate")
        except aiohttp.ClientConnectorDNSError:
            return Fetched(url, "unknown_host")
        except aiohttp.InvalidURL:
            return Fetched(url, "bad_url")
        except (aiohttp.ClientPayloadError, zlib.error):
            return Fetched(url, "incomplete_body")
        except aiohttp.ClientResponseError:
            return Fetched(url, "bad_response")
        except (aiohttp.ClientError, OSError, ValueError):
            return Fetched(url, "connection_error")

    async def _follow(self, url: str) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            asked = check_url(url, self._settings)
            async with self._session.get(asked, allow_redirects=False) as response:
                if _opted_out(response.headers.getall("X-Robots-Tag", [])):
                    raise Refused("opted_out")
                if response.status in REDIRECTS:
                    url = _joined(asked, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise Refused(f"http_{response.status}")
                return await _body(response, self._settings.max_bytes)
        raise Refused("too_many_redirects")


def _joined(base: URL, location: str) -> str:
    try:
        return str(base.join(URL(location)))
    except ValueError:
        raise Refused("bad_url") from None


def _opted_out(tags: list[str]) -> bool:
    directives = {part.rpartition(":")[2].strip().lower() for tag in tags for part in tag.split(",")}
    return bool(directives & OPT_OUT)


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
