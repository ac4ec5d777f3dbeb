"""A small hostile web on the loopback address: one page per attack, and a count of what is asked at once."""

from __future__ import annotations

import functools
import gzip
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from urllib.parse import unquote

from PIL import Image

SLOW_S = 0.05  # between two bytes of a drip, so that no single read ever times out
BOMB_BYTES = 30_000_000  # what the 30 KB of the gzip bomb unfold to
STOP_S = 5.0  # when a drip ends by itself, should the client never hang up


def png(side=8, colour=(200, 30, 30)):
    """Return a small real PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


@functools.cache
def gzip_bomb():
    """Return what unfolds to BOMB_BYTES."""
    return gzip.compress(b"\0" * BOMB_BYTES)


@functools.cache
def pixel_bomb():
    """Return a PNG of 144 million pixels in a few KB."""
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # one request per connection: what is under way is what is counted

    def log_message(self, *_):
        pass

    def do_GET(self):
        web = self.server.web
        if self.path == "/robots.txt":  # told apart: what tests count are the images
            web.robots_asked += 1
            web.robots(self)
            return
        if self.path == "/.well-known/tdmrep.json":
            web.tdmrep_asked += 1
            web.tdmrep(self)
            return
        with web.lock:
            web.paths.append(self.path)
            web.under_way += 1
            self.is_counted = 1
            web.most_at_once = max(web.most_at_once, web.under_way)
        try:
            name, _, rest = self.path.lstrip("/").partition("/")
            getattr(self, f"page_{name.partition('?')[0]}", self.page_absent)(rest)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has hung up, as it should
        finally:
            self.no_more_under_way()

    def no_more_under_way(self):
        """Count the request out, once: before its answer is whole, as the client may ask again the moment it is."""
        with self.server.web.lock:
            self.server.web.under_way -= self.is_counted
            self.is_counted = 0

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        self.is_counted = getattr(self, "is_counted", 0)
        if "Content_Length" not in headers:
            headers["Content_Length"] = str(len(body))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.no_more_under_way()
        self.end_headers()
        self.wfile.write(body)

    def page_absent(self, rest):
        self.answer(404, b"<html>no</html>")

    def page_absent_robots(self):
        self.answer(404)

    def page_bad_chunks(self, rest):
        self.protocol_version = "HTTP/1.1"
        self.answer(200, b"zz\r\n" + PNG + b"\r\n0\r\n\r\n", Transfer_Encoding="chunked", Content_Length=None)

    def page_bad_chunks_later(self, rest):
        self.protocol_version = "HTTP/1.1"
        self.answer(200, b"", Transfer_Encoding="chunked", Content_Length=None)
        time.sleep(0.2)  # in a packet of its own
        self.wfile.write(b"zz\r\n" + PNG + b"\r\n0\r\n\r\n")

    def page_cut_chunks(self, rest):
        self.protocol_version = "HTTP/1.1"
        self.answer(200, b"%x\r\n" % len(PNG) + PNG[:20], Transfer_Encoding="chunked", Content_Length=None)
        self.close_connection = True

    def page_understates(self, rest):
        self.answer(200, PNG, Content_Length="20")

    def page_reserved(self, rest):
        self.answer(200, PNG, **{"tdm-reservation": rest})

    def page_pressed(self, rest):
        """/pressed/STATUS/TIMES/RETRY_AFTER: so often before the picture; each is counted by its whole path."""
        status, times, retry_after = rest.split("/", 2)
        with self.server.web.lock:
            asked = self.server.web.paths.count(self.path)
        if asked <= int(times):
            self.answer(int(status), b"later", Retry_After=unquote(retry_after) or None)
        else:
            self.answer(200, PNG)

    def page_pixel_bomb(self, rest):
        self.answer(200, self.server.web.pixel_bomb)

    def page_ok(self, rest):
        self.answer(200, PNG, Content_Type="image/png")

    def page_wait(self, rest):
        time.sleep(float(rest))
        self.answer(200, PNG + rest.encode())

    def page_echo(self, rest):
        self.answer(200, rest.encode())

    def page_status(self, rest):
        self.answer(int(rest), b"no")

    def page_redirect(self, rest):
        """/redirect/STATUS/LOCATION"""
        status, _, location = rest.partition("/")
        self.answer(int(status), b"", Location=unquote(location))

    def page_nowhere(self, rest):
        self.answer(302)

    def page_loop(self, rest):
        self.answer(302, b"", Location="/loop")

    def page_hops(self, rest):
        left = int(rest)
        self.answer(302, b"", Location=f"/hops/{left - 1}" if left > 1 else "/ok")

    def page_html(self, rest):
        self.answer(200, b"<html><body>not an image</body></html>", Content_Type="image/png")

    def page_short(self, rest):
        self.answer(200, PNG[:20], Content_Length=str(len(PNG)))

    def page_declares(self, rest):
        self.answer(200, b"", Content_Length=rest)

    def page_unlength(self, rest):
        self.answer(200, PNG, Content_Length=None)

    def page_size(self, rest):
        self.answer(200, b"x" * int(rest), Content_Length=None)

    def page_drip_body(self, rest):
        self.send_response(200)
        self.end_headers()
        self.drip(b"x")

    def page_drip_headers(self, rest):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        self.drip(b"X-A: b\r\n")

    def page_silence(self, rest):
        self.server.web.closing.wait(STOP_S)

    def page_endless_body(self, rest):
        self.send_response(200)
        self.end_headers()
        self.drip(b"x" * 65_536, pause=0)

    def page_endless_headers(self, rest):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        self.drip(b"X-A: b\r\n" * 1_000, pause=0)

    def page_huge_header(self, rest):
        self.answer(200, PNG, X_Big="x" * 200_000)

    def page_gzip_bomb(self, rest):
        self.answer(200, self.server.web.bomb, Content_Encoding="gzip")

    def page_gzip(self, rest):
        self.answer(200, gzip.compress(PNG), Content_Encoding="gzip")

    def page_gzip_cut(self, rest):
        self.answer(200, gzip.compress(PNG)[:-12], Content_Encoding="gzip")

    def page_gzip_lie(self, rest):
        self.answer(200, PNG, Content_Encoding="gzip")

    def page_encoding(self, rest):
        self.answer(200, PNG, Content_Encoding=rest)

    def page_tag(self, rest):
        self.answer(200, PNG, X_Robots_Tag=unquote(rest))

    def page_tagged_redirect(self, rest):
        self.answer(302, b"", Location="/ok", X_Robots_Tag="noai")

    def page_garbage(self, rest):
        self.wfile.write(bytes(range(256)) * 40)

    def page_hang_up(self, rest):
        pass

    def page_agent(self, rest):
        self.answer(200, str(self.headers.get("User-Agent")).encode())

    def page_cookie(self, rest):
        self.answer(302, b"", Location="/cookie_back", Set_Cookie="a=b; Path=/")

    def page_cookie_back(self, rest):
        self.answer(200, str(self.headers.get("Cookie")).encode())

    def drip(self, piece, pause=SLOW_S):
        ends = time.monotonic() + STOP_S
        while time.monotonic() < ends and not self.server.web.closing.is_set():
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(pause)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # what a client hangs up on is no error here


class HostileWeb:
    """The server; use as a context manager. address: (host, port); paths: every path that was asked for."""

    def __init__(self, tls=None):
        """tls: a server's ssl.SSLContext."""
        self.tls = tls
        self.lock = threading.Lock()
        self.paths = []
        self.under_way = 0
        self.most_at_once = 0
        self.robots_asked = 0
        self.robots = _Page.page_absent_robots  # what answers for /robots.txt, given the handler
        self.tdmrep_asked = 0
        self.tdmrep = _Page.page_absent_robots  # and for /.well-known/tdmrep.json
        self.closing = threading.Event()
        self.bomb, self.pixel_bomb = gzip_bomb(), pixel_bomb()  # made here: the client's time runs while it is asked

    def __enter__(self):
        self._server: BaseServer = _Server(("127.0.0.1", 0), _Page)
        self._server.web = self
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.address = self._server.server_address[:2]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
