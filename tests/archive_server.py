"""A store of archives on the loopback address, as Common Crawl's: byte ranges, and 503 to whoever presses it."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.site_server import Served


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        store = self.server.web
        asked = self.headers.get("Range", "")
        with store.lock:
            store.requests.append((self.command, self.path, asked))
            busy, store.busy = store.busy, max(store.busy - 1, 0)
            cut, store.cut = store.cut and bool(asked), store.cut - (1 if store.cut and asked else 0)
        if busy:
            return self.send(503, b"SlowDown", Retry_After="0")
        if self.path in store.redirects:
            return self.send(302, b"", Location=store.redirects[self.path])
        file = store.folder / self.path.lstrip("/")
        if not file.is_file():
            return self.send(404, b"no such key")
        data, match = file.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if match and store.answers_ranges:
            first, last = int(match[1]), int(match[2])
            if first >= len(data):
                return self.send(416, b"")
            part = data[first : last + 1]
            span = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
            return self.send(206, part, Content_Range=span, sent=len(part) // 2 if cut else None)
        return self.send(200, data, Accept_Ranges="bytes" if store.answers_ranges else "none")

    def send(self, status, body, sent=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True


class ArchiveServer(Served):
    """Serves a folder. busy: requests to answer with 503; cut: range answers that break off; requests: all so far."""

    handler = _Answer

    def __init__(self, folder: Path):
        self.folder, self.lock, self.requests = folder, threading.Lock(), []
        self.busy = self.cut = 0
        self.answers_ranges = True
        self.redirects: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}/"
