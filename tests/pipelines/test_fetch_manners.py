"""The fetcher's manners: robots.txt, opting out, Retry-After, backoff and pace, each tried on every engine."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import quote

import pytest

from infimm_data.errors import ConfigError
from pipelines import gate, host_pace
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import ENGINES, fetch_all
from pipelines.host_pace import backoff_s
from pipelines.http_session import Addresses, Refused, checked_addresses
from pipelines.img2dataset_fetcher import check_installed
from tests.web_server import PNG, STOP_S, HostileWeb

HOST = "pictures.example"


@pytest.fixture(params=ENGINES)
def settings(request):
    """Settings of each installed engine, with waits that a test can afford."""
    if request.param == "img2dataset":
        try:
            check_installed()
        except ConfigError as error:
            pytest.skip(str(error))
    found = FetchSettings(
        engine=request.param, timeout_s=2, allow_private_hosts=(HOST, "other.example"), backoff_s=0.02, max_wait_s=1.5
    )
    list(fetch_all([], found))  # img2dataset takes seconds to import, which are not to be measured
    return found


@pytest.fixture
def web():
    """One hostile web per test, since what it is asked for is counted."""
    with HostileWeb() as served:
        yield served


def ask(web, settings, *paths):
    """Return the answers for paths of the hostile web, or for whole URLs."""
    urls = [f"http://{HOST}{path}" if path.startswith("/") else path for path in paths]
    return list(fetch_all(urls, settings, {HOST: web.address, "other.example": web.address}))


def statuses(web, settings, *paths):
    return [answer.status for answer in ask(web, settings, *paths)]


def rules(text, status=200, **headers):
    """Return what answers /robots.txt with these rules."""
    return lambda page: page.answer(status, text.encode(), **headers)


def test_robots_txt_is_obeyed_and_asked_for_once(web, settings):
    web.robots = rules("User-agent: *\nDisallow: /ok/private\n")
    answers = ask(web, settings, "/ok/private/1", "/ok/1", "/ok/private/2", "/ok/2")
    assert [answer.status for answer in answers] == ["robots_disallows", "ok", "robots_disallows", "ok"]
    assert (sorted(web.paths), web.robots_asked) == (["/ok/1", "/ok/2"], 1)


def test_what_robots_txt_forbids_is_recorded_with_host_words_and_time(web, settings):
    web.robots = rules("User-agent: infimm\nDisallow: /\n\nUser-agent: *\nAllow: /\n")
    (answer,) = ask(web, settings, "/ok")
    assert (answer.host, answer.directive) == (HOST, "robots.txt: disallowed for infimm")
    told = datetime.fromisoformat(answer.told_at)
    assert timedelta(0) <= datetime.now(UTC) - told < timedelta(minutes=1)


def test_robots_txt_is_not_asked_for_where_the_recipe_says_so(web, settings):
    web.robots = rules("User-agent: *\nDisallow: /\n")
    assert statuses(web, settings.model_copy(update={"robots": False}), "/ok") == ["ok"]
    assert web.robots_asked == 0


def test_a_redirect_is_followed_only_where_the_robots_txt_of_its_end_allows_it(web, settings):
    def by_host(page):
        host = page.headers["Host"].partition(":")[0]
        page.answer(200, b"User-agent: *\nDisallow: /" + (b"" if host == "other.example" else b"nothing"))

    web.robots = by_host
    (answer,) = ask(web, settings, "/redirect/302/http://other.example/ok")
    assert (answer.status, answer.host) == ("robots_disallows", HOST)
    assert web.paths == ["/redirect/302/http://other.example/ok"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, "ok"), (403, "ok"), (410, "ok"), (500, "robots_unreachable"), (503, "robots_unreachable")],
)
def test_an_absent_robots_txt_allows_all_and_a_broken_host_nothing(web, settings, status, expected):
    web.robots = rules("", status)
    assert statuses(web, settings.model_copy(update={"attempts": 1}), "/ok") == [expected]


def test_a_robots_txt_that_fails_in_passing_is_asked_for_again(web, settings):
    web.robots = lambda page: page.answer(503 if web.robots_asked < 3 else 404)
    assert (statuses(web, settings, "/ok"), web.robots_asked) == (["ok"], 3)


def test_a_slow_robots_txt_ends_at_its_deadline_and_costs_other_hosts_nothing(web, settings):
    web.robots = lambda page: page.page_silence("") if page.headers["Host"].startswith(HOST) else page.answer(404)
    start = time.monotonic()
    quick = settings.model_copy(update={"timeout_s": 0.4})
    assert statuses(web, quick, "/ok", "http://other.example/ok") == ["robots_unreachable", "ok"]
    assert 0.4 <= time.monotonic() - start < STOP_S / 2


def test_waiting_for_the_rules_of_many_hosts_costs_none_its_deadline(web, settings):
    hosts = [f"h{n}.example" for n in range(6)]
    web.robots = lambda page: (time.sleep(0.15), page.answer(404))
    few = settings.model_copy(
        update={"timeout_s": 0.5, "concurrency": 1, "attempts": 1, "allow_private_hosts": tuple(hosts)}
    )
    answers = fetch_all([f"http://{host}/ok" for host in hosts], few, dict.fromkeys(hosts, web.address))
    assert [answer.status for answer in answers] == ["ok"] * 6


def test_of_an_endless_robots_txt_the_beginning_counts(web, settings, monkeypatch):
    monkeypatch.setattr(gate, "MAX_ROBOTS_BYTES", 10_000)
    web.robots = rules("User-agent: *\nDisallow: /ok/no\n" + "# x\n" * 50_000 + "Disallow: /\n")
    assert statuses(web, settings, "/ok/no", "/ok/yes") == ["robots_disallows", "ok"]


def test_rules_full_of_wildcards_cost_no_time(web, settings):
    web.robots = rules("User-agent: *\nDisallow: /" + "*a" * 40 + "*b\n")
    start = time.monotonic()
    assert statuses(web, settings, "/ok/" + "a" * 2_000) == ["ok"]
    assert time.monotonic() - start < 5  # by a regular expression it would take longer than anyone lives


def test_a_robots_txt_that_is_a_gzip_bomb_is_bounded(web, settings):
    web.robots = lambda page: page.answer(200, web.bomb, Content_Encoding="gzip")
    assert statuses(web, settings, "/ok") == ["ok"]


def test_a_robots_txt_that_redirects_to_a_private_address_is_not_followed(web, settings):
    web.robots = lambda page: page.answer(302, Location="http://169.254.169.254/robots.txt")
    assert statuses(web, settings, "/ok") == ["private_address"]


@pytest.mark.parametrize(
    ("bounds", "asked"), [({}, 2), ({"MAX_ORIGINS": 1}, 3), ({"MAX_CACHED_BYTES": 9}, 3), ({"ROBOTS_LIFE_S": -1.0}, 3)]
)
def test_rules_are_remembered_within_bounds_of_number_bytes_and_time(web, monkeypatch, bounds, asked):
    for name, value in bounds.items():
        monkeypatch.setattr(gate, name, value)
    web.robots = rules("# ten bytes")

    async def admit_all():
        found = gate.Gate(
            FetchSettings(allow_private_hosts=(HOST, "other.example")),
            dict.fromkeys((HOST, "other.example"), web.address),
        )
        for host in (HOST, "other.example", HOST):
            await found.admit(f"http://{host}/ok")
        await found.close()

    asyncio.run(admit_all())
    assert web.robots_asked == asked


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("/tag/noai", "X-Robots-Tag: noai"),
        ("/tag/" + quote("otherbot: NOIMAGEAI, nofollow"), "X-Robots-Tag: noimageai"),
        ("/tag/noindex", "X-Robots-Tag: noindex"),
        ("/tag/noml", "X-Robots-Tag: noml"),
        ("/reserved/1", "tdm-reservation: 1"),
    ],
)
def test_opting_out_is_honoured_and_recorded_with_its_words_and_time(web, settings, page, words):
    (answer,) = ask(web, settings, page)
    assert (answer.status, answer.data, answer.directive, answer.host) == ("opted_out", None, words, HOST)
    assert answer.told_at.endswith("+00:00")


def test_a_reservation_of_zero_reserves_nothing(web, settings):
    (answer,) = ask(web, settings, "/reserved/0")
    assert (answer.status, answer.directive, answer.told_at) == ("ok", None, None)


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_is_pressed_is_asked_again_after_the_seconds_it_names(web, settings, status):
    start = time.monotonic()
    assert statuses(web, settings, f"/pressed/{status}/1/1") == ["ok"]
    assert time.monotonic() - start >= 1
    assert len(web.paths) == 2


def test_a_retry_after_may_be_a_date(web, settings):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)  # whole seconds: 1 to 2 from now
    start = time.monotonic()
    assert statuses(web, settings.model_copy(update={"max_wait_s": 5}), f"/pressed/429/1/{quote(at)}") == ["ok"]
    assert 0.9 <= time.monotonic() - start < 4


def test_while_a_host_is_pressed_its_other_images_wait_too(web, settings):
    in_turn = settings.model_copy(update={"per_host": 1})
    start = time.monotonic()
    assert statuses(web, in_turn, "/pressed/429/1/1", "/ok/2") == ["ok", "ok"]
    assert time.monotonic() - start >= 1


def test_a_host_that_wants_a_long_rest_is_left_alone_for_this_run(web, settings):
    in_turn = settings.model_copy(update={"per_host": 1})
    assert statuses(web, in_turn, "/pressed/429/9/3600", "/ok/1", "/ok/2") == [
        "http_429", "host_given_up", "host_given_up",
    ]  # fmt: skip
    assert len(web.paths) == 1


def test_a_retry_after_that_is_no_time_falls_back_to_the_backoff(web, settings):
    assert statuses(web, settings, "/pressed/503/2/soon") == ["ok"]
    assert len(web.paths) == 3


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_what_seconds_may_mend_is_asked_again(web, settings, status):
    assert statuses(web, settings, f"/pressed/{status}/2/") == ["ok"]
    assert len(web.paths) == 3


@pytest.mark.parametrize("page", ["/absent", "/status/403", "/status/410", "/tag/noai", "/declares/99999999"])
def test_what_no_wait_mends_is_asked_once(web, settings, page):
    ask(web, settings, page)
    assert web.paths == [page]


def test_a_timeout_is_not_repeated(web, settings):
    assert statuses(web, settings.model_copy(update={"timeout_s": 0.2}), "/silence") == ["timeout"]
    assert web.paths == ["/silence"]


def test_a_host_that_fails_many_times_in_a_row_is_given_up(web, settings, monkeypatch):
    monkeypatch.setattr(host_pace, "MAX_DEAD", 3)
    once = settings.model_copy(update={"attempts": 1, "per_host": 1, "backoff_s": 0.0})
    found = statuses(web, once, *(f"/pressed/503/9/no{n}" for n in range(6)), "http://other.example/ok")
    assert found == ["http_503"] * 3 + ["host_given_up"] * 3 + ["ok"]
    assert len(web.paths) == 4


def test_an_answer_that_comes_makes_a_host_alive_again(web, settings, monkeypatch):
    monkeypatch.setattr(host_pace, "MAX_DEAD", 2)
    once = settings.model_copy(update={"attempts": 1, "per_host": 1, "backoff_s": 0.0})
    paths = ["/status/500", "/absent", "/status/500", "/ok", "/status/500", "/status/500", "/ok"]
    assert statuses(web, once, *paths)[-2:] == ["http_500", "host_given_up"]


def test_a_host_is_asked_no_faster_than_its_pace(web, settings):
    start = time.monotonic()
    assert statuses(web, settings.model_copy(update={"delay_s": 0.15}), *(f"/ok/{n}" for n in range(4))) == ["ok"] * 4
    assert time.monotonic() - start >= 0.45


def test_a_crawl_delay_is_obeyed_up_to_the_longest_wait(web, settings):
    web.robots = rules("User-agent: *\nCrawl-delay: 0.2\n")
    start = time.monotonic()
    assert statuses(web, settings, "/ok/1", "/ok/2", "/ok/3") == ["ok"] * 3
    assert time.monotonic() - start >= 0.4
    web.robots = rules("User-agent: *\nCrawl-delay: 60\n")
    (answer,) = ask(web, settings, "/ok/4")
    assert (answer.status, answer.directive) == ("crawl_delay_too_long", "robots.txt: Crawl-delay 60")


def test_the_backoff_doubles_and_its_jitter_is_the_same_in_every_run():
    assert backoff_s("http://a.example/", 1, 2.0) == 2.4838404143229127
    assert backoff_s("http://a.example/", 3, 2.0) == 4 * backoff_s("http://a.example/", 1, 2.0)
    waits = {backoff_s(f"http://a.example/{n}", 1, 1.0) for n in range(50)}
    assert len(waits) == 50
    assert all(1.0 <= wait < 1.5 for wait in waits)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        # aiohttp 3.14 notices a broken chunk size at once where it comes with the headers. Where it comes in a later
        # packet, as the network decides, it forgets the body that it was reading.
        ("/bad_chunks", ("bad_response", "incomplete_body")),
        ("/bad_chunks_later", ("bad_response", "incomplete_body")),
        ("/cut_chunks", ("incomplete_body",)),
    ],
)
def test_broken_chunks_are_no_body(web, settings, page, expected):
    assert statuses(web, settings.model_copy(update={"attempts": 1}), page)[0] in expected


def test_no_more_is_read_than_the_length_that_is_declared(web, settings):
    (answer,) = ask(web, settings.model_copy(update={"attempts": 1}), "/understates")
    assert (answer.status, answer.data) in (("ok", PNG[:20]), ("bad_response", None))  # aiohttp sees what follows


def test_a_certificate_that_nobody_signed_is_refused(settings, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed, so there is no certificate to refuse")
    pem = str(tmp_path / "self_signed.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", f"{pem}.crt"]
    subprocess.run([*made, "-days", "2", "-subj", f"/CN={HOST}"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{pem}.crt", pem)
    with HostileWeb(tls) as web:
        for robots in (True, False):
            found = ask(web, settings.model_copy(update={"robots": robots}), f"https://{HOST}/ok")
            assert [answer.status for answer in found] == ["bad_certificate"]
        assert (web.paths, web.robots_asked) == ([], 0)


class Names:
    """A name server whose answers are put in; stands for socket.getaddrinfo."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def __call__(self, host, port, **_):
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return [(2, 1, 6, "", (answer, port))]


def test_a_name_is_looked_up_once_and_its_checked_address_is_kept(monkeypatch):
    names = Names("8.8.8.8", "127.0.0.1")  # DNS rebinding: public when it is checked, private when it is used
    monkeypatch.setattr("socket.getaddrinfo", names)
    addresses = Addresses(FetchSettings(), {})
    assert [addresses("a.example", 80) for _ in range(3)] == [[(2, "8.8.8.8", 80)]] * 3
    assert names.asked == 1


def test_a_name_that_was_rebound_is_checked_again(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", Names("8.8.8.8", "127.0.0.1"))
    assert checked_addresses("a.example", 80, FetchSettings(), {}) == [(2, "8.8.8.8", 80)]
    with pytest.raises(Refused, match="private_address"):
        checked_addresses("a.example", 80, FetchSettings(), {})


@pytest.mark.parametrize("first", [OSError(-2, "unknown"), "127.0.0.1"])
def test_failures_are_remembered_for_a_shorter_time(monkeypatch, first):
    now = [1000.0]
    monkeypatch.setattr("pipelines.http_session.time.monotonic", lambda: now[0])
    names = Names(first, "8.8.8.8", "8.8.4.4")
    monkeypatch.setattr("socket.getaddrinfo", names)
    addresses = Addresses(FetchSettings(), {})
    for _ in range(2):
        with pytest.raises((OSError, Refused)):
            addresses("a.example", 80)
    assert names.asked == 1
    now[0] += 31
    assert addresses("a.example", 80)[0][1] == "8.8.8.8"
    now[0] += 299
    assert addresses("a.example", 80)[0][1] == "8.8.8.8"
    now[0] += 2
    assert addresses("a.example", 80)[0][1] == "8.8.4.4"


def test_the_memory_of_names_is_bounded(monkeypatch):
    monkeypatch.setattr("pipelines.http_session.MAX_NAMES", 2)
    monkeypatch.setattr("socket.getaddrinfo", names := Names(*["8.8.8.8"] * 5))
    addresses = Addresses(FetchSettings(), {})
    for name in ("a", "b", "c", "c", "a"):
        addresses(f"{name}.example", 80)
    assert names.asked == 4
