"""Fetching from a hostile web: nothing private is touched, nothing runs for ever, every failure has a name."""

from __future__ import annotations

import socket
import time
import tracemalloc

import pytest

from infimm_data.errors import ConfigError
from pipelines import fetcher, http_session
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import ENGINES
from pipelines.http_session import is_public
from pipelines.img2dataset_fetcher import check_installed
from tests.web_server import BOMB_BYTES, PNG, STOP_S, HostileWeb

HOST = "pictures.example"
DEADLINE_S = 0.5
SETTINGS = FetchSettings(
    timeout_s=DEADLINE_S, max_bytes=1_000_000, max_redirects=3, allow_private_hosts=(HOST,), attempts=1
)


chosen = {"engine": "infimm"}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    """Every attack is tried on every engine that is installed."""
    if request.param == "img2dataset":
        try:
            check_installed()
        except ConfigError as error:
            pytest.skip(str(error))
    chosen["engine"] = request.param
    yield request.param
    chosen["engine"] = "infimm"


@pytest.fixture(scope="module")
def web(engine):
    """One hostile web for all tests of this file."""
    with HostileWeb() as served:
        yield served


def fetch_all(urls, settings, connect_to):
    return fetcher.fetch_all(urls, settings.model_copy(update=chosen), connect_to)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch):
    """Fail on a connection to anything but the hostile web, and answer names without asking the network."""
    connected = []
    real_connect = socket.socket.connect

    def names(host, port, family=0, type=0, **_):  # noqa: A002  # getaddrinfo's own name for it
        known = {"localhost": "127.0.0.1", "127.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f.1": "127.0.0.1",
                 "inside.example": "10.0.0.1", "mixed.example": "8.8.8.8"}  # fmt: skip
        host = host.decode() if isinstance(host, bytes) else host
        if host == "mixed.example":
            return [(socket.AF_INET, type, 6, "", (a, port)) for a in ("8.8.8.8", "10.0.0.1")]
        try:
            socket.inet_aton(host)
            literal = host.count(".") == 3
        except OSError:
            literal = False
        if not literal and host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, type, 6, "", (known.get(host, host), port))]

    monkeypatch.setattr(http_session.socket, "getaddrinfo", names)
    monkeypatch.setattr(socket.socket, "connect", lambda s, to: (connected.append(to), real_connect(s, to))[1])
    return connected


def ask(web, *urls, settings=SETTINGS, **connect_to):
    """Return the answers for URLs; a path is asked of the hostile web."""
    whole = [f"http://{HOST}{url}" if url.startswith("/") else url for url in urls]
    return list(fetch_all(whole, settings, {HOST: web.address, **connect_to}))


def status(web, *urls, **settings):
    return [answer.status for answer in ask(web, *urls, **settings)]


def test_an_image_is_fetched(web):
    (answer,) = ask(web, "/ok")
    assert (answer.url, answer.status, answer.data) == (f"http://{HOST}/ok", "ok", PNG)


def test_a_caller_that_takes_its_time_costs_no_request_its_deadline(web):
    settings = SETTINGS.model_copy(update={"per_host": 1})
    answers = []
    for answer in fetch_all([f"http://{HOST}/ok?{n}" for n in range(4)], settings, {HOST: web.address}):
        answers.append(answer.status)
        time.sleep(1.2 * DEADLINE_S)
    assert answers == ["ok"] * 4


def test_no_urls_give_no_answers(web):
    assert ask(web) == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("/absent", "http_404"),
        ("/status/500", "http_500"),
        ("/status/206", "http_206"),
        ("/loop", "too_many_redirects"),
        ("/hops/4", "too_many_redirects"),
        ("/nowhere", "too_many_redirects"),
        ("/redirect/301/file:///etc/passwd", "unsupported_scheme"),
        ("/redirect/302/ftp://a.example/x", "unsupported_scheme"),
        ("/redirect/303/data:image/png;base64,AAAA", "unsupported_scheme"),
        ("/redirect/307/http://127.0.0.1/x", "private_address"),
        ("/redirect/308/http://169.254.169.254/latest", "private_address"),
        ("/redirect/302/http://[::1]/", "private_address"),
        ("/redirect/302/http://localhost/", "private_address"),
        ("/redirect/302/http://user:secret@a.example/", "bad_url"),
        ("/redirect/302/http://[broken/", "bad_url"),
        ("/redirect/302/http://absent.example/", "unknown_host"),
        ("/short", "incomplete_body"),
        ("/declares/1000001", "too_many_bytes"),
        ("/size/1000001", "too_many_bytes"),
        ("/endless_body", "too_many_bytes"),
        ("/gzip_bomb", "too_many_bytes"),
        ("/gzip_cut", "incomplete_body"),
        ("/gzip_lie", "incomplete_body"),
        ("/encoding/br", "unknown_encoding"),
        ("/encoding/gzip,gzip", "unknown_encoding"),
        ("/huge_header", "bad_response"),
        ("/endless_headers", "bad_response"),
        ("/garbage", "bad_response"),
        ("/hang_up", "connection_error"),
        ("/tag/noai", "opted_out"),
        ("/tag/noimageai,%20nofollow", "opted_out"),
        ("/tag/otherbot:%20NOINDEX", "opted_out"),
        ("/tagged_redirect", "opted_out"),
    ],
)
def test_every_attack_has_its_reason(web, page, reason):
    assert status(web, page) == [reason]


@pytest.mark.parametrize("page", ["/drip_body", "/drip_headers", "/silence"])
def test_the_deadline_holds_against_slow_drips(web, page):
    start = time.monotonic()
    assert status(web, page) == ["timeout"]
    assert DEADLINE_S <= time.monotonic() - start < STOP_S / 2


def test_the_deadline_covers_all_redirects_together(web):
    slow = f"/redirect/302/http://{HOST}/wait/0.3"
    assert status(web, slow, settings=SETTINGS.model_copy(update={"timeout_s": 0.25})) == ["timeout"]


@pytest.mark.parametrize(
    ("page", "data"),
    [
        ("/hops/3", PNG), ("/gzip", PNG), ("/unlength", PNG), ("/encoding/identity", PNG), ("/size/0", b""),
        ("/size/1000000", b"x" * 1_000_000), ("/tag/nofollow", PNG), ("/tag/unavailable_after:%201%20Jan", PNG),
    ],
)  # fmt: skip
def test_what_is_harmless_is_taken(web, page, data):
    (answer,) = ask(web, page)
    assert (answer.status, answer.data) == ("ok", data)


def test_a_page_in_place_of_an_image_arrives_as_it_is_for_the_image_check_to_refuse(web):
    assert ask(web, "/html")[0].data.startswith(b"<html>")


def test_a_gzip_bomb_is_never_held_in_memory(web):
    tracemalloc.start()
    try:
        assert status(web, "/gzip_bomb") == ["too_many_bytes"]
        assert tracemalloc.get_traced_memory()[1] < 10 * SETTINGS.max_bytes < BOMB_BYTES
    finally:
        tracemalloc.stop()


def test_every_engine_says_who_asks(web):
    assert ask(web, "/agent")[0].data == SETTINGS.user_agent.encode()


def test_an_answer_is_shown_without_its_bytes():
    """asyncio shows the result of a task several times per call; with the bytes it took most of the time."""
    assert "xxx" not in repr(fetcher.Fetched("u", "ok", b"x" * 1_000))


def test_cookies_are_not_kept(web):
    assert ask(web, "/cookie")[0].data == b"None"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://localhost/", "private_address"),
        ("http://localhost./", "unknown_host"),
        ("http://127.0.0.1/", "private_address"),
        ("http://１２７.０.０.１/", "private_address"),
        ("http://127。0。0。1/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("http://[::]/", "private_address"),
        ("http://[::ffff:127.0.0.1]/", "private_address"),
        ("http://[::127.0.0.1]/", "private_address"),
        ("http://[64:ff9b::7f00:1]/", "private_address"),
        ("http://[fe80::1%25eth0]/", "private_address"),
        ("http://0.0.0.0/", "private_address"),
        ("http://169.254.169.254/latest/meta-data/", "private_address"),
        ("http://10.0.0.1/", "private_address"),
        ("http://192.168.1.1:8080/", "private_address"),
        ("http://inside.example/", "private_address"),
        ("http://mixed.example/", "private_address"),
        ("https://inside.example/", "private_address"),
        ("http://absent.example/", "unknown_host"),
        ("http://user@a.example/", "bad_url"),
        ("http://user:secret@a.example/", "bad_url"),
        ("http://:secret@a.example/", "bad_url"),
        ("http://a.example:99999/", "bad_url"),
        ("http://[broken/", "bad_url"),
        ("http:///x", "bad_url"),
        ("http://" + "a" * 70 + ".example/", "unknown_host"),
        ("http://a..example/", "unknown_host"),
        ("file:///etc/passwd", "unsupported_scheme"),
        ("ftp://a.example/x", "unsupported_scheme"),
        ("data:image/png;base64,AAAA", "unsupported_scheme"),
        ("x.png", "unsupported_scheme"),
        ("", "unsupported_scheme"),
        ("http://absent.example/\ud800", "unknown_host"),
        ("javascript:alert(1)", "unsupported_scheme"),
    ],
)
def test_no_forbidden_address_is_ever_connected_to(web, only_loopback, url, reason):
    assert status(web, url) == [reason]
    assert only_loopback == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "０１２７.０.０.１"])
def test_an_old_spelling_of_a_loopback_address_is_never_connected_to(web, only_loopback, host):
    (found,) = status(web, f"http://{host}/")
    assert found in ("bad_url", "private_address")  # newer aiohttp refuses such hosts before they are resolved
    assert only_loopback == []


def test_a_private_address_that_is_not_allowed_stays_refused_however_it_is_reached(web, only_loopback):
    assert status(web, "http://other.example/ok", **{"other.example": web.address}) == ["private_address"]
    assert only_loopback == []


def test_an_allowed_host_is_allowed_under_its_own_name_only(web):
    allowed = SETTINGS.model_copy(update={"allow_private_hosts": ("127.0.0.1",)})
    port = web.address[1]
    found = status(web, f"http://127.0.0.1:{port}/ok", f"http://localhost:{port}/ok", settings=allowed)
    assert found == ["ok", "private_address"]


def test_a_broken_certificate_is_refused(web):
    assert status(web, f"https://{HOST}/ok") == ["connection_error"]  # the port speaks no TLS at all


def test_a_closed_port_is_a_connection_error(web):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert status(web, f"http://{HOST}/ok", **{HOST: ("127.0.0.1", port)}) == ["connection_error"]


def test_answers_stand_in_the_order_of_the_urls(web):
    waits = ["/wait/0.2", "/wait/0.0", "/absent", "/wait/0.1", "/ok"]
    answers = ask(web, *waits)
    assert [answer.url.removeprefix(f"http://{HOST}") for answer in answers] == waits
    assert [answer.status for answer in answers] == ["ok", "ok", "http_404", "ok", "ok"]


def test_a_url_asked_twice_is_answered_twice(web):
    assert status(web, "/ok", "/ok") == ["ok", "ok"]


def test_no_more_requests_than_allowed_are_under_way_at_one_host(engine):
    with HostileWeb() as web:
        answers = ask(
            web, *(f"/wait/0.0{n % 5}" for n in range(30)), settings=SETTINGS.model_copy(update={"per_host": 3})
        )
        assert {answer.status for answer in answers} == {"ok"}
        assert web.most_at_once == 3


def test_no_more_requests_than_allowed_are_under_way_in_all(engine):
    hosts = [f"h{n}.example" for n in range(12)]
    settings = SETTINGS.model_copy(update={"concurrency": 4, "allow_private_hosts": tuple(hosts)})
    with HostileWeb() as web:
        answers = list(fetch_all([f"http://{h}/wait/0.05" for h in hosts], settings, dict.fromkeys(hosts, web.address)))
        assert {answer.status for answer in answers} == {"ok"}
        assert web.most_at_once == 4


def test_waiting_for_a_busy_host_does_not_count_as_time_of_the_request(web):
    settings = SETTINGS.model_copy(update={"per_host": 1})
    assert status(web, *["/wait/0.2"] * 4, settings=settings) == ["ok"] * 4


def test_no_more_than_a_bounded_number_is_fetched_ahead(engine, monkeypatch):
    monkeypatch.setattr(fetcher, "URLS_AHEAD", 5)
    with HostileWeb() as web:
        answers = fetch_all([f"http://{HOST}/echo/{n}" for n in range(50)], SETTINGS, {HOST: web.address})
        assert next(answers).data == b"0"
        time.sleep(0.1)
        assert len(web.paths) <= 5
        assert [answer.data for answer in answers] == [str(n).encode() for n in range(1, 50)]


def test_no_more_than_bounded_bytes_are_held(engine, monkeypatch):
    monkeypatch.setattr(fetcher, "HELD_BYTES", 1)
    answers = None
    with HostileWeb() as web:
        answers = list(fetch_all([f"http://{HOST}/echo/{n}" for n in range(20)], SETTINGS, {HOST: web.address}))
    assert [answer.data for answer in answers] == [str(n).encode() for n in range(20)]


def test_a_caller_may_stop_early_and_leaves_nothing_open(web):
    answers = fetch_all([f"http://{HOST}/ok", f"http://{HOST}/silence"], SETTINGS, {HOST: web.address})
    assert next(answers).status == "ok"
    answers.close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("127.0.0.1", False), ("10.0.0.1", False), ("172.16.0.1", False), ("192.168.0.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("198.18.0.1", False), ("192.0.2.1", False), ("::", False), ("::1", False), ("::7f00:1", False),
        ("::ffff:10.0.0.1", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("fec0::1", False),
        ("ff02::1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False), ("64:ff9b:1::a00:1", False),
        ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_open_internet_are_public(address, public):
    assert is_public(address) is public
