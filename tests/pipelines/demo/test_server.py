import http.client
import zipfile
from urllib.parse import urlsplit

import pytest

from pipelines.demo.server import PICTURES, PictureServer


@pytest.fixture(scope="module")
def server():
    with PictureServer() as running:
        yield running


def ask(server: PictureServer, path: str, host: str = "pictures.example") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=5)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read(1 << 20)
    connection.close()
    return answer, body


def some_files(number: int) -> dict[str, bytes]:
    with zipfile.ZipFile(PICTURES) as packed:
        return {name: packed.read(name) for name in packed.namelist()[:: len(packed.namelist()) // number]}


def test_a_picture_is_served_by_host_and_path(server):
    for name, body in some_files(5).items():
        host, _, path = name.partition("/")
        answer, got = ask(server, f"/{path}", host)
        assert (answer.status, got) == (200, body)
        assert answer.headers["Content-Type"].startswith("image/")


def test_a_picture_of_one_host_is_not_on_another(server):
    name = next(name for name in some_files(20) if name.startswith("pictures.example"))
    assert ask(server, name.removeprefix("pictures.example"), "img-cdn.example")[0].status == 404


@pytest.mark.parametrize(("path", "status"), [("/trouble/gone.jpg", 404), ("/trouble/error.jpg", 500), ("/none", 404)])
def test_a_missing_picture_has_its_status(server, path, status):
    assert ask(server, path)[0].status == status


@pytest.mark.parametrize(
    ("path", "host"),
    [("loop.jpg", "pictures.example"), ("to-loopback.png", "127.0.0.1"), ("to-private.png", "10.0.0.7")],
)
def test_a_redirect_leads_astray(server, path, host):
    answer, _ = ask(server, f"/trouble/{path}")
    assert answer.status == 302
    assert urlsplit(answer.headers["Location"]).hostname == host


def test_a_moved_picture_is_where_the_redirect_says(server):
    name, body = next(item for item in some_files(20).items() if item[0].startswith("pictures.example"))
    path = name.partition("/")[2]
    answer, _ = ask(server, f"/moved/{path}")
    assert answer.status == 302
    assert ask(server, urlsplit(answer.headers["Location"]).path)[1] == body


def test_a_short_body_breaks_off(server):
    answer, body = ask(server, "/trouble/short.jpg")
    assert len(body) == int(answer.headers["Content-Length"]) - 5_000


def test_an_oversized_body_has_no_length_and_goes_on(server):
    answer, body = ask(server, "/trouble/huge.png")
    assert "Content-Length" not in answer.headers
    assert len(body) == 1 << 20


def test_a_slow_answer_drips(server):
    connection = http.client.HTTPConnection(*server.address, timeout=0.1)
    connection.request("GET", "/trouble/slow.jpg", headers={"Host": "pictures.example"})
    answer = connection.getresponse()
    assert len(answer.read(1)) == 1
    with pytest.raises(TimeoutError):
        answer.read(1)
    connection.close()


def test_an_html_page_calls_itself_a_picture(server):
    answer, body = ask(server, "/trouble/page.png")
    assert (answer.headers["Content-Type"], body[:6]) == ("image/png", b"<html>")


def test_an_opted_out_picture_says_so(server):
    assert ask(server, "/trouble/opt-out.jpg")[0].headers["X-Robots-Tag"] == "noai"


def test_requests_are_counted_by_host_and_path(server):
    before = server.requests["pictures.example/counted"]
    for _ in range(3):
        ask(server, "/counted?x=1")
    assert server.requests["pictures.example/counted"] - before == 3


def test_the_server_stops_while_an_answer_drips():
    with PictureServer() as running:
        connection = http.client.HTTPConnection(*running.address, timeout=5)
        connection.request("GET", "/trouble/slow.jpg", headers={"Host": "pictures.example"})
        connection.getresponse().read(1)
    connection.close()
    with pytest.raises(ConnectionError):
        http.client.HTTPConnection(*running.address, timeout=1).request("GET", "/")
