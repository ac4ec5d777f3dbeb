"""Small web sites on the loopback address, told apart by their Host header: pages by path, and a log with times."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        web = self.server.web
        host = self.headers.get("Host", "").partition(":")[0]
        key = f"{host}{self.path}"
        with web.lock:
            web.log.append((time.monotonic(), key))
            web.under_way[host] = web.under_way.get(host, 0) + 1
            web.most_at_once = max(web.most_at_once, web.under_way[host])
            answers = web.pages.get(key, [])
            answer = (answers.pop(0) if len(answers) > 1 else answers[0]) if answers else (404, {}, b"absent")
        try:
            status, headers, body = answer
            if callable(body):
                body(self)
                return
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with web.lock:
                web.under_way[host] -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass


class Served:
    """Answers with a handler, which finds this object as `self.server.web`, from `with` to its end."""

    handler: type[BaseHTTPRequestHandler]

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), self.handler)
        self._server.web = self
        self.address = ("127.0.0.1", self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Sites(Served):
    """pages: HOST/PATH -> answers in turn, the last one for ever; log: (time, HOST/PATH) of every request."""

    handler = _Handler

    def __init__(self):
        self.lock, self.log, self.pages, self.under_way, self.most_at_once = threading.Lock(), [], {}, {}, 0

    def add(self, key, *answers):
        """answers: HTML as text, or (status, headers, body)."""
        self.pages[key] = [
            (200, {"Content-Type": "text/html"}, answer.encode()) if isinstance(answer, str) else answer
            for answer in answers
        ]

    def asked(self, suffix=""):
        return [key for _, key in self.log if key.endswith(suffix)]

    def connect_to(self, *hosts):
        return dict.fromkeys(hosts, self.address)
