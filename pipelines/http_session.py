"""HTTP to hosts that are all taken to be hostile: what fetcher, crawler and the reader of remote archives share.

Every hop of every request is to be checked: the scheme, the host as it will be connected to (`check_url`), and
each address that its name resolves to (`GuardedResolver`; the connection takes exactly those addresses, so a name
cannot change its mind in between). TLS certificates are verified.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pipelines.fetch_settings import FetchSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})
OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "noml"})
"""X-Robots-Tag directives that refuse this use: img2dataset's deny list and `noml`, which its users asked for."""
HEADER_BYTES = 16_384  # of one header line: above any honest one, far below harm
CHUNK_BYTES = 1 << 16  # of a body at a time
NAME_LIFE_S = 300.0  # of a looked-up name: the time to live of most hosts; getaddrinfo does not tell it
NO_NAME_LIFE_S = 30.0  # of a name that has no answer
MAX_NAMES = 10_000
NUM_HEADERS = 128  # aiohttp's own bound, written out because the safety of a run depends on it

ConnectTo = Mapping[str, tuple[str, int]]
"""Host name -> (address, port) to connect to instead, as curl's --connect-to: how tests and the demo serve a web."""


Admit = Callable[[str], Awaitable[URL]]
"""What every hop of a fetch passes: the URL as it may be asked for, or Refused."""


class Refused(Exception):  # noqa: N818  # an answer, not an error
    """A request that is not made, or an answer that is not taken; `reason` is the status slug.

    directive: what the host said in its own words where it does not want this use, else None; retry_after_s: the
    seconds after which it wants to be asked again, None where it names none.
    """

    def __init__(self, reason: str, directive: str | None = None, retry_after_s: float | None = None) -> None:
        """reason: a slug for the funnel."""
        super().__init__(reason)
        self.reason, self.directive, self.retry_after_s = reason, directive, retry_after_s


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


class GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that lead to a private or local address."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """settings: its `concurrency` and `allow_private_hosts` count."""
        # Threads of our own, one per request: dead names block for seconds, and the loop's few would starve the rest.
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="resolve")
        self._addresses = Addresses(settings, connect_to)

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host; raises OSError when it has none, Refused when one is not public."""
        found = self._addresses.known(host, port, family)
        if found is None:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._addresses, host, port, family)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address, port in found
        ]

    async def close(self) -> None:
        """Leave threads that still wait for an answer behind; they end with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


Found = list[tuple[int, str, int]]
"""(family, address, port) to connect to."""


class Addresses:
    """Looks names up, with a memory of answers and failures; may be called from many threads at once.

    Private addresses are refused, and a connection takes the very addresses that were checked: a name that says
    something else the next time (DNS rebinding) is checked again by then.
    """

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """Start with nothing known; settings, connect_to: as `checked_addresses`."""
        self._settings, self._connect_to = settings, connect_to
        self._known: OrderedDict[tuple[str, int, int], tuple[float, Found | Exception]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int, family: Any = socket.AF_UNSPEC) -> Found:
        """Return what `checked_addresses` does, and raise what it raises.

        Both are remembered, but for a failure that the resolver itself calls temporary.
        """
        found = self.known(host, port, family)
        if found is not None:
            return found
        try:
            answer = checked_addresses(host, port, self._settings, self._connect_to, family)
        except (OSError, Refused, UnicodeError) as error:
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                raise
            self._remember((host, port, int(family)), NO_NAME_LIFE_S, type(error)(*error.args))  # without its frames
            raise
        self._remember((host, port, int(family)), NAME_LIFE_S, answer)
        return answer

    def _remember(self, key: tuple[str, int, int], life_s: float, answer: Found | Exception) -> None:
        with self._lock:
            self._known[key] = time.monotonic() + life_s, answer
            while len(self._known) > MAX_NAMES:
                self._known.popitem(last=False)

    def known(self, host: str, port: int, family: Any = socket.AF_UNSPEC) -> Found | None:
        """Return what is remembered, None where nothing is; raises the failure that is remembered."""
        with self._lock:
            ends, answer = self._known.get((host, port, int(family)), (0.0, None))
        if answer is None or ends < time.monotonic():
            return None
        if isinstance(answer, Exception):
            raise type(answer)(*answer.args)
        return answer


def checked_addresses(
    host: str, port: int, settings: FetchSettings, connect_to: ConnectTo, family: Any = socket.AF_UNSPEC
) -> Found:
    """Return (family, address, port) to connect to for a host; may block for as long as its name servers do.

    Raises OSError where it has no address, Refused where one is not public and the host is not allowed that.
    """
    name, port = connect_to.get(host, (host, port))
    found = socket.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
    addresses = [(int(kind), str(address[0]), port) for kind, _, _, _, address in found]
    if host not in settings.allow_private_hosts and not all(is_public(address) for _, address, _ in addresses):
        raise Refused("private_address")
    return addresses


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


def new_session(
    settings: FetchSettings, connect_to: ConnectTo, headers: Mapping[str, str],
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
) -> aiohttp.ClientSession:  # fmt: skip
    """Return a session without cookies, proxies or a timeout of its own: the caller sets a deadline per request.

    Bodies come as they were sent: decompressing is for whoever counts the bytes. To be made inside an event loop.
    """
    connector = aiohttp.TCPConnector(
        resolver=GuardedResolver(settings, connect_to),
        limit=settings.concurrency,
        limit_per_host=settings.per_host,
        use_dns_cache=False,  # the resolver's own also remembers failures, and is larger
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        headers={"User-Agent": settings.user_agent, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=NUM_HEADERS,
        auto_decompress=False,
        trust_env=False,
        middlewares=middlewares,
    )


def joined(base: URL, location: str) -> str:
    """Return where a redirect leads; raises Refused where that is no URL."""
    try:
        return str(base.join(URL(location)))
    except ValueError:
        raise Refused("bad_url") from None


def refusing_directive(tags: Sequence[str], reservations: Sequence[str]) -> str | None:
    """Return the first directive of an answer's headers that refuses this use, None where none does.

    tags: values of X-Robots-Tag (or of a robots meta element), where a leading agent is ignored; reservations: values
    of tdm-reservation, of which 1 says that the rights to mine the content are reserved (W3C's TDMRep, section 6).
    """
    for tag in tags:
        for part in tag.split(","):
            directive = part.rpartition(":")[2].strip().lower()
            if directive in OPT_OUT:
                return f"X-Robots-Tag: {directive}"
    if any(value.strip() == "1" for value in reservations):
        return "tdm-reservation: 1"
    return None


def check_use(tags: Sequence[str], reservations: Sequence[str]) -> None:
    """Raise Refused where the headers of an answer refuse this use; arguments as `refusing_directive`."""
    if (directive := refusing_directive(tags, reservations)) is not None:
        raise Refused("opted_out", directive)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3), or None where none is usable."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None


def refused_status(status: int, retry_after: str | None) -> Refused:
    """Return what an answer with another status than 200 is to the funnel; retry_after: its header of that name."""
    return Refused(f"http_{status}", retry_after_s=retry_after_s({"Retry-After": retry_after or ""}, datetime.now(UTC)))


def decompressor(encoding: str) -> Any:
    """Return what undoes a Content-Encoding with a bound on its output (zlib's interface), None for none.

    Raises Refused where it is no single one of gzip and deflate.
    """
    encoding = encoding.strip().lower()
    if encoding in ("identity", ""):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Refused("unknown_encoding")
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, as its first bytes say


_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorCertificateError, "bad_certificate"),
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "unknown_host"),
    (aiohttp.InvalidURL, "bad_url"),
    ((aiohttp.ClientPayloadError, zlib.error), "incomplete_body"),
    (aiohttp.ClientResponseError, "bad_response"),
)


def failure(error: Exception) -> str:
    """Return the slug of what ended a request: a Refused's own reason, else by the kind of the error."""
    if isinstance(error, Refused):
        return error.reason
    return next((slug for kinds, slug in _FAILURES if isinstance(error, kinds)), "connection_error")
