"""The picture server's bad answers, asked as the pipeline asks: each has its name, and nothing outlives the server."""

from __future__ import annotations

import io
import socket
import threading
import time
import zipfile

import pytest
from PIL import Image

from pipelines.demo.server import PictureServer
from pipelines.demo.web import MOVED, PICTURE_HOSTS, TROUBLE
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import fetch_all

HOST, OTHER = PICTURE_HOSTS
SETTINGS = FetchSettings(timeout_s=0.8, max_bytes=100_000, allow_private_hosts=PICTURE_HOSTS, attempts=1)
STATUS = {
    "/trouble/gone.jpg": "http_404",
    "/trouble/error.jpg": "http_500",
    "/trouble/loop.jpg": "too_many_redirects",
    "/trouble/to-loopback.png": "private_address",
    "/trouble/to-private.png": "private_address",
    "/trouble/slow.jpg": "timeout",
    "/trouble/short.jpg": "incomplete_body",
    "/trouble/page.png": "ok",  # its bytes are no image, which only the decoder finds
    "/trouble/huge.png": "too_many_bytes",
    "/trouble/opt-out.jpg": "opted_out",
}


@pytest.fixture(scope="module")
def red():
    file = io.BytesIO()
    Image.new("RGB", (96, 96), (210, 30, 40)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures(red, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "pictures.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{HOST}/media/red.png", red)
    return path


@pytest.fixture
def server(pictures):
    with PictureServer(pictures) as started:
        yield started


def ask(server, *urls):
    return list(fetch_all(urls, SETTINGS, dict.fromkeys(PICTURE_HOSTS, server.address)))


@pytest.mark.parametrize("path", TROUBLE)
def test_each_bad_answer_has_its_status(server, path):
    (answer,) = ask(server, f"http://{HOST}{path}")
    assert answer.status == STATUS[path]


def test_good_pictures_arrive_beside_bad_ones(server, red):
    good, moved = f"http://{HOST}/media/red.png", f"http://{HOST}{MOVED}media/red.png"
    answers = ask(server, good, *(f"http://{HOST}{path}" for path in TROUBLE), moved)
    assert [answers[0].data, answers[-1].data] == [red, red]
    assert [answer.status for answer in answers[1:-1]] == [STATUS[path] for path in TROUBLE]


def test_the_redirect_to_the_server_itself_is_not_followed(server):
    ask(server, f"http://{HOST}/trouble/to-loopback.png")
    asked = ("robots.txt", ".well-known/tdmrep.json", "trouble/to-loopback.png")
    assert set(server.requests) == {f"{HOST}/{path}" for path in asked}


def test_a_picture_of_one_host_is_not_on_the_other(server):
    (answer,) = ask(server, f"http://{OTHER}/media/red.png")
    assert answer.status == "http_404"


def test_the_server_stops_at_once_while_an_answer_drips(pictures):
    with PictureServer(pictures) as started, socket.create_connection(started.address, timeout=5) as client:
        client.sendall(f"GET /trouble/slow.jpg HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.recv(1) == b"H"
        left = time.monotonic()
        started.__exit__(None, None, None)
        assert time.monotonic() - left < 1.0
        while client.recv(4096):  # the drip ends too: the connection closes
            assert time.monotonic() - left < 3.0


def test_a_stopped_server_leaves_no_thread_and_no_open_port(pictures):
    before = threading.active_count()
    with PictureServer(pictures) as started:
        address = started.address
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=1)


def test_two_servers_have_two_ports(pictures):
    with PictureServer(pictures) as one, PictureServer(pictures) as other:
        assert one.address[0] == other.address[0] == "127.0.0.1"
        assert one.address[1] != other.address[1]


def test_missing_pictures_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.zip"):
        PictureServer(tmp_path / "absent.zip")
