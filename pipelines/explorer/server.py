"""The explorer's server: on the loopback address alone, behind a token, for pages that may load nothing from elsewhere.

The build's texts and pictures are hostile, and so may other pages in the same browser be. A request is answered only
where it names this host (a name of another site that was bound to 127.0.0.1 does not) and knows the token; no answer
may be framed, sniffed, stored, or read by another site; a page runs our own scripts only, and these may not write HTML.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from pipelines.explorer.api import MOST_CHANGES, Answer, Api, problem

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 30  # for a request to arrive
MOST_FIELDS = MOST_CHANGES + 8
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Explorer:
    """A server for one build; use as a context manager, or call `serve` and let the user stop it."""

    def __init__(self, api: Api, *, port: int = 0, token: str | None = None) -> None:
        """port: 0 takes a free one; token: of tests. Raises OSError where the port is taken."""
        self.token = token or secrets.token_urlsafe(24)
        self._server = _Server((LOOPBACK, port), _Handler)
        self._server.api, self._server.token = api, self.token
        self.port = int(self._server.server_address[1])
        self._server.hosts = frozenset({f"{LOOPBACK}:{self.port}", f"localhost:{self.port}"})

    @property
    def url(self) -> str:
        """Where the explorer is; who knows it may look."""
        return f"http://{LOOPBACK}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer until interrupted."""
        with self._server:
            self._server.serve_forever()

    def __enter__(self) -> Explorer:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: Api
    token: str
    hosts: frozenset[str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what ends a connection: mostly a page that was left before its pictures came."""
        log.debug("connection ended", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "infimm", ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """Answer one request, or refuse it."""
        if self.headers.get("Host", "") not in self.server.hosts:
            self._send(_refusal(421, "this server answers under its own address only"))
            return
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self._send(_refusal(403, "another site may not ask"))
            return
        address, _, query = self.path.partition("?")
        token, slash, path = address.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._send(_refusal(403, "the address lacks the token that 'infimm explore' printed"))
            return
        try:
            asked = parse_qs(query, max_num_fields=MOST_FIELDS)
        except ValueError:
            self._send(_refusal(400, f"a question has at most {MOST_FIELDS} fields"))
            return
        try:
            answer = self.server.api.answer(path, asked)
        except Exception:  # said to the page, which would else wait; the terminal has the rest
            log.exception("no answer")
            answer = problem("the server failed; the terminal in which it runs tells how", 500)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.data)))
        if answer.file:
            self.send_header("Content-Disposition", f'attachment; filename="{answer.file}"')
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the name is the base class's
        """Log without the address: it holds the token."""
        log.debug("request from %s answered", self.client_address[0])


def _refusal(status: int, text: str) -> Answer:
    return Answer(f"{text}\n".encode(), "text/plain; charset=utf-8", status)
