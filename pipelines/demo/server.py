"""The demo's picture server: an HTTP server on the loopback address that is several hosts, some of them badly behaved.

    with PictureServer() as server:
        connect_to = {"pictures.example": server.address}

Pages name the hosts without a port; clients are told to connect here instead (as curl's --connect-to).
"""

from __future__ import annotations

import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from pipelines.demo.pictures import CONTENT_TYPES
from pipelines.demo.web import MOVED

PICTURES = Path(__file__).parent / "data" / "pictures.zip"
DRIP_S = 0.2  # between two bytes of the answer that never ends
HUGE_BYTES = 256 << 20  # of the oversized answer: more than any sane bound
_LOOPBACK = "127.0.0.1"


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # an answer that drips for ever must not keep the program alive
    block_on_close = False  # nor its closing wait
    request_queue_size = 256

    def __init__(self, pictures: dict[str, bytes]) -> None:
        super().__init__((_LOOPBACK, 0), _Handler)
        self.pictures = pictures
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.is_stopping = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up, which is what most of the bad answers are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer a picture, a redirect, or what the path is known for."""
        host, path = self.headers.get("Host", "").partition(":")[0], self.path.partition("?")[0]
        with self.server.lock:
            self.server.requests[f"{host}{path}"] += 1
        if path in _TROUBLE:
            _TROUBLE[path](self)
        elif path.startswith(MOVED):
            self.redirect(f"http://{host}/{path.removeprefix(MOVED)}")
        elif (body := self.server.pictures.get(f"{host}{path}")) is not None:
            self.answer(200, CONTENT_TYPES.get(path.rpartition(".")[2], "application/octet-stream"), body)
        else:
            self.answer(404, "text/html", b"<h1>Not found</h1>")

    def answer(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        """Send a whole answer; underscores in the names of headers become hyphens."""
        self.head(status, content_type, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def head(self, status: int, content_type: str, **headers: str) -> None:
        """Send the first lines of an answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def redirect(self, location: str) -> None:
        """Send the client elsewhere."""
        self.answer(302, "text/html", b"", Location=location)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Keep quiet: `PictureServer.requests` counts."""

    def some_picture(self) -> bytes:
        """Return a picture that the server has, to be spoilt."""
        return next(iter(self.server.pictures.values()))


def _slow(handler: _Handler) -> None:
    handler.head(200, "image/jpeg", Content_Length="100000")
    for byte in handler.some_picture():
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.is_stopping.wait(DRIP_S):
            break
    handler.close_connection = True


def _short(handler: _Handler) -> None:
    body = handler.some_picture()
    handler.head(200, "image/jpeg", Content_Length=str(len(body) + 5_000))
    handler.wfile.write(body)
    handler.close_connection = True


def _huge(handler: _Handler) -> None:
    handler.head(200, "image/png", Connection="close")  # no length: the client must count
    block, sent = bytes(1 << 16), 0
    while sent < HUGE_BYTES and not handler.server.is_stopping.is_set():
        handler.wfile.write(block)
        sent += len(block)
    handler.close_connection = True


_TROUBLE: MappingProxyType[str, Callable[[_Handler], None]] = MappingProxyType(
    {
        "/trouble/gone.jpg": lambda handler: handler.answer(404, "text/html", b"<h1>Gone</h1>"),
        "/trouble/error.jpg": lambda handler: handler.answer(500, "text/html", b"<h1>Error</h1>"),
        "/trouble/loop.jpg": lambda handler: handler.redirect("http://pictures.example/trouble/loop.jpg"),
        "/trouble/to-loopback.png": lambda handler: handler.redirect(
            f"http://{_LOOPBACK}:{handler.server.server_address[1]}/secret.png"
        ),
        "/trouble/to-private.png": lambda handler: handler.redirect("http://10.0.0.7/secret.png"),
        "/trouble/slow.jpg": _slow,
        "/trouble/short.jpg": _short,
        "/trouble/page.png": lambda handler: handler.answer(200, "image/png", b"<html>Log in first</html>"),
        "/trouble/huge.png": _huge,
        "/trouble/opt-out.jpg": lambda handler: handler.answer(
            200, "image/jpeg", handler.some_picture(), X_Robots_Tag="noai"
        ),
    }
)


class PictureServer:
    """Serves pictures.zip by Host header and path, on a free port, from `with` to its end."""

    def __init__(self, pictures: Path = PICTURES) -> None:
        """Read the pictures; raises FileNotFoundError where make_dump has not written them."""
        with zipfile.ZipFile(pictures) as packed:
            self._server = _Server({name: packed.read(name) for name in packed.namelist()})
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: ("127.0.0.1", port)."""
        return _LOOPBACK, int(self._server.server_address[1])

    @property
    def requests(self) -> Counter[str]:
        """How often each HOST/PATH was asked for so far."""
        with self._server.lock:
            return Counter(self._server.requests)

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; answers that never end are cut off."""
        self._server.is_stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
