"""One blocking GET of a hostile URL: every hop checked, one deadline, bounded bytes; for engines that use threads."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from yarl import URL

from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import (
    CHUNK_BYTES,
    REDIRECTS,
    Addresses,
    ConnectTo,
    Refused,
    check_use,
    decompressor,
    failure,
    joined,
    refused_status,
)

_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (ssl.SSLCertVerificationError, "bad_certificate"),
    (UnicodeError, "unknown_host"),  # a host that no resolver takes
    (ValueError, "bad_url"),
    (http.client.IncompleteRead, "incomplete_body"),
    (http.client.RemoteDisconnected, "connection_error"),  # a BadStatusLine by inheritance
    (http.client.HTTPException, "bad_response"),
)


class GuardedGet:
    """Asks for URLs within `settings`; may be called from many threads at once."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """connect_to: as `fetch_all` takes it."""
        self._settings, self._addresses = settings, Addresses(settings, connect_to)
        # Looking up a name cannot be interrupted: it is left behind when the deadline comes.
        self._resolving = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="resolve")
        self._tls = ssl.create_default_context()

    def __call__(self, url: str, admit: Callable[[str, float], URL]) -> tuple[http.client.HTTPMessage, bytes]:
        """Return the headers and the body at the end of a URL's redirects; raises Refused on everything else.

        admit: what every hop passes, within the seconds given.
        """
        deadline = time.monotonic() + self._settings.timeout_s
        try:
            for _ in range(self._settings.max_redirects + 1):
                asked = admit(url, _left(deadline))
                answer = self._ask(asked, deadline)
                if isinstance(answer, tuple):
                    return answer
                url = joined(asked, answer)
        except (http.client.HTTPException, zlib.error, OSError, ValueError) as error:
            slug = next((slug for kinds, slug in _FAILURES if isinstance(error, kinds)), None)
            raise Refused(slug or failure(error)) from None
        raise Refused("too_many_redirects")

    def close(self) -> None:
        """Leave threads that still wait for a name behind; they end with it."""
        self._resolving.shutdown(wait=False, cancel_futures=True)

    def _ask(self, url: URL, deadline: float) -> tuple[http.client.HTTPMessage, bytes] | str:
        """Return the answer to one request, or where it redirects to."""
        host, port = url.raw_host or "", url.port or 0
        wire = self._connect(host, port, deadline, is_tls=url.scheme == "https")
        try:
            connection = _Connection(host, port, wire)
            connection.default_port = 443 if url.scheme == "https" else 80  # for the Host header
            # The caller's own request poses as a browser; this one says who asks.
            headers = {"User-Agent": self._settings.user_agent, "Accept": "image/*,*/*;q=0.5", "Connection": "close"}
            connection.request("GET", url.raw_path_qs, headers=headers)
            response = connection.getresponse()
            told = response.headers.get_all
            check_use(told("X-Robots-Tag", []), told("tdm-reservation", []))
            if response.status in REDIRECTS:
                return response.headers.get("Location", "")
            if response.status != 200:
                raise refused_status(response.status, response.headers.get("Retry-After"))
            return response.headers, _body(response, self._settings.max_bytes)
        finally:
            wire.socket.close()

    def _connect(self, host: str, port: int, deadline: float, *, is_tls: bool) -> _Wire:
        """Connect to the first checked address of the host that answers."""
        looked_up = self._resolving.submit(self._addresses, host, port)
        problem: OSError = ConnectionError("no address")
        for family, address, to_port in looked_up.result(timeout=max(0.0, deadline - time.monotonic())):
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(_left(deadline))
                plain.connect((address, to_port))
                if is_tls:  # a handshake counts its timeout from its start, so a slow one ends too
                    plain.settimeout(_left(deadline))
                    return _Wire(self._tls.wrap_socket(plain, server_hostname=host), deadline)
                return _Wire(plain, deadline)
            except OSError as error:
                plain.close()
                problem = error
            except BaseException:
                plain.close()
                raise
        raise problem


def _left(deadline: float) -> float:
    """Return the seconds left; raises TimeoutError when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Wire:
    """A connected socket each of whose reads and writes ends at the deadline; what http.client takes for a socket."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self.socket, self._deadline = connected, deadline

    def sendall(self, data: bytes) -> None:
        self.socket.settimeout(_left(self._deadline))
        self.socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self.socket, self._deadline), CHUNK_BYTES)

    def close(self) -> None:
        """Leave the socket open: http.client closes it before it has read the body. `_ask` closes it."""


class _Reads(io.RawIOBase):
    """The reading side of a wire."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket, self._deadline = connected, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self._deadline))
        return self._socket.recv_into(buffer)


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a wire that is already there."""

    def __init__(self, host: str, port: int, wire: _Wire) -> None:
        super().__init__(host, port)
        self.sock = wire  # it answers what is asked of a socket here
        self.auto_open = 0  # never by itself, to an address that nobody has checked


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    """Return the body, decompressed where the server compressed it unasked; never more than `max_bytes` are held."""
    if (response.length or 0) > max_bytes:
        raise Refused("too_many_bytes")
    body = bytearray()
    unzip = decompressor(response.headers.get("Content-Encoding", ""))
    read: Callable[[int], bytes] = response.read
    while chunk := read(CHUNK_BYTES):
        body += unzip.decompress(chunk, max_bytes + 1 - len(body)) if unzip else chunk
        if len(body) > max_bytes:
            raise Refused("too_many_bytes")
    if response.length or (unzip and not unzip.eof):  # a body that ends early: http.client says nothing
        raise Refused("incomplete_body")
    return bytes(body)
