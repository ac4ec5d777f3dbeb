"""What a host reserves in its tdmrep.json is not fetched, and no such file can hold a fetch up or blow it up."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipelines import gate
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import fetch_all
from pipelines.passes.fetch import fetch_print
from tests.web_server import STOP_S, HostileWeb

HOST = "pictures.example"
SETTINGS = FetchSettings(timeout_s=2, allow_private_hosts=(HOST, "other.example"), backoff_s=0.02, max_wait_s=1.5)
ALL = [{"location": "/", "tdm-reservation": 1}]


@pytest.fixture
def web():
    """One hostile web per test, since what it is asked for is counted."""
    with HostileWeb() as served:
        yield served


def ask(web, *paths, settings=SETTINGS):
    """Return the answers for paths of the hostile web, or for whole URLs."""
    urls = [f"http://{HOST}{path}" if path.startswith("/") else path for path in paths]
    return list(fetch_all(urls, settings, {HOST: web.address, "other.example": web.address}))


def statuses(web, *paths, **given):
    return [answer.status for answer in ask(web, *paths, **given)]


def reserves(rules, status=200):
    """Return what answers for tdmrep.json with these rules."""
    body = rules if isinstance(rules, bytes) else json.dumps(rules).encode()
    return lambda page: page.answer(status, body)


def test_what_is_reserved_is_not_asked_for_and_the_file_is_asked_for_once(web):
    web.tdmrep = reserves([{"location": "/ok/open", "tdm-reservation": 0}, {"location": "/ok/", "tdm-reservation": 1}])
    assert statuses(web, "/ok/1", "/ok/open", "/ok/2", "/ok") == ["opted_out", "ok", "opted_out", "ok"]
    assert (sorted(web.paths), web.tdmrep_asked) == (["/ok", "/ok/open"], 1)


def test_it_is_recorded_with_the_hosts_words_and_time(web):
    web.tdmrep = reserves(ALL)
    (answer,) = ask(web, "/ok")
    assert (answer.data, answer.host, answer.directive) == (None, HOST, "tdmrep.json: tdm-reservation 1")
    told = datetime.fromisoformat(answer.told_at)
    assert timedelta(0) <= datetime.now(UTC) - told < timedelta(minutes=1)


def test_a_header_supersedes_a_file_that_reserves_nothing(web):
    web.tdmrep = reserves([{"location": "/", "tdm-reservation": 0}])
    (answer,) = ask(web, "/reserved/1")
    assert (answer.status, answer.directive) == ("opted_out", "tdm-reservation: 1")


def test_the_file_is_not_asked_for_where_the_recipe_says_so(web):
    web.tdmrep = reserves(ALL)
    assert statuses(web, "/ok", settings=SETTINGS.model_copy(update={"tdmrep": False})) == ["ok"]
    assert web.tdmrep_asked == 0


def test_the_file_counts_without_robots_txt_as_well(web):
    web.tdmrep = reserves(ALL)
    assert statuses(web, "/ok", settings=SETTINGS.model_copy(update={"robots": False})) == ["opted_out"]
    assert (web.robots_asked, web.tdmrep_asked) == (0, 1)


@pytest.mark.parametrize("rules", [b"User-agent: *\nDisallow: /\n", b"User-agent: *\nDisallow: /.well-known/\n"])
def test_the_file_is_not_asked_for_where_robots_txt_forbids_it(web, rules):
    web.robots = lambda page: page.answer(200, rules)
    ask(web, "/ok")
    assert web.tdmrep_asked == 0


def test_a_redirect_is_followed_only_where_its_end_is_not_reserved(web):
    at_other = reserves(ALL)
    web.tdmrep = lambda page: at_other(page) if page.headers["Host"].startswith("other") else page.answer(404)
    (answer,) = ask(web, "/redirect/302/http://other.example/ok")
    assert (answer.status, web.paths) == ("opted_out", ["/redirect/302/http://other.example/ok"])


@pytest.mark.parametrize("status", [204, 403, 404, 500, 503])
def test_a_host_without_the_file_reserves_nothing(web, status):
    web.tdmrep = reserves(ALL, status)
    assert statuses(web, "/ok") == ["ok"]


def test_a_file_that_fails_in_passing_is_asked_for_again(web):
    web.tdmrep = lambda page: page.answer(503) if web.tdmrep_asked < 3 else reserves(ALL)(page)
    assert (statuses(web, "/ok"), web.tdmrep_asked) == (["opted_out"], 3)


@pytest.mark.parametrize("body", [b"<html>", b"[" * 400_000, b'[{"location": "/", "tdm-reservation": 1}'])
def test_a_file_that_is_no_json_reserves_nothing(web, body):
    web.tdmrep = reserves(body)
    assert statuses(web, "/ok") == ["ok"]


def test_a_file_beyond_the_bound_is_not_read_to_its_end(web, monkeypatch):
    monkeypatch.setattr(gate, "MAX_ROBOTS_BYTES", 1_000)
    web.tdmrep = reserves(json.dumps(ALL).encode() + b" " * 10_000)
    assert statuses(web, "/ok") == ["opted_out"]
    web.tdmrep = reserves(b" " * 10_000 + json.dumps(ALL).encode())
    assert statuses(web, "/ok") == ["ok"]


def test_a_gzip_bomb_in_its_place_is_bounded(web):
    web.tdmrep = lambda page: page.answer(200, web.bomb, Content_Encoding="gzip")
    assert statuses(web, "/ok") == ["ok"]


def test_it_leads_to_no_private_address(web):
    web.tdmrep = lambda page: page.answer(302, Location="http://169.254.169.254/latest")
    assert statuses(web, "/ok") == ["ok"]


def test_a_slow_file_ends_at_its_deadline_and_costs_other_hosts_nothing(web):
    web.tdmrep = lambda page: page.page_silence("") if page.headers["Host"].startswith(HOST) else page.answer(404)
    start = time.monotonic()
    quick = SETTINGS.model_copy(update={"timeout_s": 0.4})
    assert statuses(web, "/ok", "http://other.example/ok", settings=quick) == ["ok", "ok"]
    assert 0.4 <= time.monotonic() - start < STOP_S / 2


def test_what_was_fetched_without_asking_is_not_taken_for_what_was_asked():
    item = SimpleNamespace(key="k")
    runs = [
        SimpleNamespace(recipe=SimpleNamespace(fetch=FetchSettings(tdmrep=given)), prints={"k": ""})
        for given in (True, False)
    ]
    assert fetch_print(runs[0], item) != fetch_print(runs[1], item)
