"""Fetches images over HTTP from hosts that are all taken to be hostile.

Every hop of every request is checked: the scheme, and after the name is resolved each address that would be
connected to (so a name that resolves to a private address is refused at the moment of connecting, and cannot
change its mind in between). One deadline covers a whole image, redirects and slow drips included; the body is
counted as it arrives. TLS certificates are verified.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipelines.fetch_settings import FetchSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})
OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml"})
"""X-Robots-Tag directives that refuse this use: img2dataset's deny list and `noml`, which its users asked for."""
CHUNK_BYTES = 1 << 16
HEADER_BYTES = 16_384  # of one header line: above any honest one, far below harm

ConnectTo = Mapping[str, tuple[str, int]]
"""Host name -> (address, port) to connect to instead, as curl's --connect-to: how tests and the demo serve a web."""


class Refused(Exception):
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


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the open internet; mapped and translated IPv6 is unwrapped first."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class _GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that lead to a private or local address."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._allowed = frozenset(settings.allow_private_hosts)
        self._connect_to = connect_to

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        if host in self._connect_to:
            address, port = self._connect_to[host]
            found = [
                ResolveResult(
                    hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
                )
            ]
        else:
            found = await self._inner.resolve(host, port, family)
        if host not in self._allowed and not all(is_public(result["host"]) for result in found):
            raise Refused("private_address")
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_url(url: str, settings: FetchSettings) -> None:
    """Raise Refused for a URL that is not to be asked: another scheme, no host, credentials, a private address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Refused("bad_url") from None
    if parts.scheme not in ("http", "https"):
        raise Refused("unsupported_scheme")
    if not host or parts.username is not None:
        raise Refused("bad_url")
    if host in settings.allow_private_hosts:
        return
    try:
        literal = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return  # a name: the resolver checks where it leads
    if not is_public(str(literal)):
        raise Refused("private_address")


def fetch_all(urls: Iterable[str], settings: FetchSettings, connect_to: ConnectTo | None = None) -> list[Fetched]:
    """Fetch the URLs at once within the limits of `settings`; return the answers in the order of `urls`."""
    return asyncio.run(_fetch_all(list(urls), settings, connect_to or {}))


async def _fetch_all(urls: list[str], settings: FetchSettings, connect_to: ConnectTo) -> list[Fetched]:
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(settings, connect_to),
        limit=settings.concurrency,
        limit_per_host=settings.per_host,
        ttl_dns_cache=300,
    )
    # No timeout of aiohttp's own: ours starts when a place is free, so that waiting for a busy host costs nothing.
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": settings.user_agent, "Accept": "image/*,*/*;q=0.5"},
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        trust_env=False,
    )
    hosts: dict[str, asyncio.Semaphore] = {}
    places = asyncio.Semaphore(settings.concurrency)
    async with session:

        async def one(url: str) -> Fetched:
            host = hosts.setdefault(_host(url), asyncio.Semaphore(settings.per_host))
            async with host, places:
                return await _fetch(session, url, settings)

        return list(await asyncio.gather(*(one(url) for url in urls)))


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].lower()


async def _fetch(session: aiohttp.ClientSession, url: str, settings: FetchSettings) -> Fetched:
    """Fetch one URL; every way to fail is a status, so that the funnel names it."""
    try:
        async with asyncio.timeout(settings.timeout_s):
            return Fetched(url, "ok", await _follow(session, url, settings))
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
    except aiohttp.ClientPayloadError:
        return Fetched(url, "incomplete_body")
    except (aiohttp.ClientError, OSError, ValueError):
        return Fetched(url, "connection_error")


async def _follow(session: aiohttp.ClientSession, url: str, settings: FetchSettings) -> bytes:
    for _ in range(settings.max_redirects + 1):
        check_url(url, settings)
        async with session.get(url, allow_redirects=False) as response:
            if response.status in REDIRECTS:
                url = urljoin(url, response.headers.get("Location", ""))
                continue
            if response.status != 200:
                raise Refused(f"http_{response.status}")
            if _opted_out(response.headers.getall("X-Robots-Tag", [])):
                raise Refused("opted_out")
            return await _body(response, settings.max_bytes)
    raise Refused("too_many_redirects")


def _opted_out(tags: list[str]) -> bool:
    directives = {part.rpartition(":")[2].strip().lower() for tag in tags for part in tag.split(",")}
    return bool(directives & OPT_OUT)


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if (response.content_length or 0) > max_bytes:
        raise Refused("too_many_bytes")
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise Refused("too_many_bytes")
    return bytes(body)
