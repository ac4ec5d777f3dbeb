"""A polite crawl of a small web: what is asked, when, and what is kept of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest
from fastwarc.warc import ArchiveIterator

from infimm_data.document import Document
from pipelines.crawl import archive as archives
from pipelines.crawl import polite
from pipelines.crawl.archive import PartArchive
from pipelines.crawl.crawler import crawl_part
from pipelines.crawl.seeds import host_of
from pipelines.crawl.settings import CrawlSettings
from pipelines.fetch_settings import FetchSettings
from pipelines.sources.contract import Skipped
from pipelines.sources.web_archive import WebArchive
from tests.site_server import Sites
from tests.web_server import PNG

A, B = "a.example", "b.example"
WORDS = "The red circle stands left of the blue square on this page."


@pytest.fixture
def web():
    with Sites() as served:
        served.add(f"{A}/robots.txt", (404, {}, b""))
        served.add(f"{B}/robots.txt", (404, {}, b""))
        yield served


def page(text="x", more=""):
    return f"<html><head></head><body><main><p>{WORDS} {text}</p>{more}</main></body></html>"


def crawl(web, folder, *urls, sitemaps=(), hosts=(A, B), allowed=None, fetch=None, segment=1 << 30, **settings):
    """Crawl to the end; return the counts of pages."""
    limits = {"timeout_s": 2.0, "max_bytes": 100_000, "max_redirects": 3, "tdmrep": False} | (fetch or {})
    wanted = CrawlSettings(
        fetch=FetchSettings(allow_private_hosts=tuple(hosts if allowed is None else allowed), **limits),
        **({"delay_s": 0.0, "attempts": 2} | settings),
    )
    pages, maps = {}, {}
    for url in urls:
        pages.setdefault(host_of(url), []).append(url)
    for url in sitemaps:
        maps.setdefault(host_of(url), []).append(url)
    part = PartArchive(folder / "crawl", 0, segment)
    asyncio.run(crawl_part(part, pages, maps, wanted, web.connect_to(*hosts)))
    part.close()
    return {outcome: number for (kind, outcome), number in part.counts.items() if kind == "page"}


def records(folder):
    """Return (type, URL, block) of every record, as FastWARC reads them."""
    found = []
    for path in sorted((folder / "crawl").glob("*.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, parse_http=False, verify_digests=True):
                kind = str(record.record_type).split(".")[-1]
                found.append((kind, record.headers.get("WARC-Target-URI") or "", record.reader.read()))
    return found


def documents(folder):
    source = WebArchive(path=str(folder / "crawl"))
    return [a for item in source.work_items() for a in source.read(item) if isinstance(a, Document)]


def test_a_page_is_kept_with_its_request_and_how_it_came_out(web, tmp_path):
    web.add(f"{A}/1", page("one"))
    assert crawl(web, tmp_path, f"http://{A}/1") == {"ok": 1}
    found = records(tmp_path)
    kinds = ["warcinfo", "request", "response", "metadata", "request", "response", "metadata"]
    assert [kind for kind, _, _ in found] == kinds
    assert found[4][2].startswith(b"GET /1 HTTP/1.1\r\nHost: a.example\r\n")
    assert found[5][2].startswith(b"HTTP/1.1 200 OK\r\n")
    assert found[6][:2] == ("metadata", f"http://{A}/1")
    assert found[6][2].startswith(b"kind: page\r\noutcome: ok\r\nhops: 1\r\nvisit: ")
    (document,) = documents(tmp_path)
    assert document.origin.url == f"http://{A}/1"
    assert document.text == f"{WORDS} one"


def test_a_disallowed_page_is_never_asked_for(web, tmp_path):
    web.add(f"{A}/robots.txt", (200, {}, b"User-agent: *\nDisallow: /no\n\nUser-agent: infimm\nDisallow: /not-us\n"))
    for path in ("no", "not-us", "yes"):
        web.add(f"{A}/{path}", page(path))
    urls = [f"http://{A}/{path}" for path in ("no", "not-us", "yes")]
    assert crawl(web, tmp_path, *urls) == {"ok": 2, "robots_disallows": 1}
    assert web.asked() == [f"{A}/robots.txt", f"{A}/no", f"{A}/yes"]  # our own group replaces the general one


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((200, {}, b""), "ok"),
        ((403, {}, b""), "ok"),
        ((404, {}, b""), "ok"),
        ((500, {}, b""), "robots_unreachable"),
        ((429, {}, b""), "robots_unreachable"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * (1 << 25))), "robots_unreachable"),
        ((302, {"Location": "/robots.txt"}, b""), "robots_unreachable"),
        ((302, {"Location": "/other.txt"}, b""), "robots_disallows"),
    ],
)
def test_robots_txt_that_says_nothing_is_read_as_rfc_9309_says(web, tmp_path, monkeypatch, answer, outcome):
    monkeypatch.setattr(polite, "FIRST_WAIT_S", 0.01)
    web.add(f"{A}/robots.txt", answer)
    web.add(f"{A}/other.txt", (200, {}, b"User-agent: *\nDisallow: /\n"))
    web.add(f"{A}/1", page())
    assert crawl(web, tmp_path, f"http://{A}/1") == {outcome: 1}


def test_robots_txt_is_asked_for_once_per_host(web, tmp_path):
    urls = [f"http://{host}/{n}" for host in (A, B) for n in range(5)]
    crawl(web, tmp_path, *urls)
    assert sorted(web.asked("/robots.txt")) == [f"{A}/robots.txt", f"{B}/robots.txt"]


@pytest.mark.parametrize(
    ("robots", "delay_s", "pause"), [(b"", 0.15, 0.15), (b"User-agent: *\nCrawl-delay: 0.2\n", 0.0, 0.2)]
)
def test_a_host_is_asked_one_at_a_time_at_its_pace(web, tmp_path, robots, delay_s, pause):
    web.add(f"{A}/robots.txt", (200, {}, robots))
    urls = [f"http://{A}/{n}" for n in range(4)]
    crawl(web, tmp_path, *urls, delay_s=delay_s)
    times = [at for at, key in web.log if not key.endswith("robots.txt")]
    assert len(times) == 4
    assert min(b - a for a, b in pairwise(times)) >= pause
    assert web.most_at_once == 1


def test_hosts_are_crawled_side_by_side(web, tmp_path):
    hosts = [f"h{n}.example" for n in range(10)]
    begun = time.monotonic()
    crawl(web, tmp_path, *[f"http://{host}/{n}" for host in hosts for n in range(2)], hosts=hosts, delay_s=0.3)
    assert time.monotonic() - begun < 3.0  # one after the other it would take 9 s


def test_a_host_that_asks_for_too_long_a_pause_is_left_alone(web, tmp_path):
    web.add(f"{A}/robots.txt", (200, {}, b"User-agent: *\nCrawl-delay: 86400\n"))
    assert crawl(web, tmp_path, f"http://{A}/1") == {"crawl_delay_too_long": 1}
    assert web.asked() == [f"{A}/robots.txt"]


@pytest.mark.parametrize("kind", ["seconds", "date", "none"])
def test_a_busy_host_is_asked_again_after_the_time_it_names(web, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(polite, "FIRST_WAIT_S", 0.4 if kind == "none" else 0.01)
    date = format_datetime(datetime.fromtimestamp(time.time() + 2, UTC), usegmt=True)
    named = {"seconds": {"Retry-After": "1"}, "date": {"Retry-After": date}, "none": {}}[kind]
    web.add(f"{A}/1", (429, named, b""), page())
    assert crawl(web, tmp_path, f"http://{A}/1", f"http://{A}/2") == {"ok": 1, "http_404": 1}
    times = [at for at, key in web.log if key == f"{A}/1"]
    assert times[1] - times[0] >= (0.4 if kind == "none" else 0.9)


def test_a_host_that_stays_busy_or_asks_for_too_much_patience_is_left(web, tmp_path, monkeypatch):
    monkeypatch.setattr(polite, "FIRST_WAIT_S", 0.01)
    web.add(f"{A}/1", (503, {}, b""))
    web.add(f"{B}/1", (429, {"Retry-After": "100000"}, b""))
    found = crawl(web, tmp_path, f"http://{A}/1", f"http://{B}/1", attempts=3, max_wait_s=0.1)
    assert found == {"http_503": 1, "http_429": 1}
    assert Counter(web.asked("/1")) == {f"{A}/1": 3, f"{B}/1": 1}


def test_redirects_are_followed_and_kept(web, tmp_path):
    web.add(f"{A}/1", (301, {"Location": f"http://{B}/2"}, b""))
    web.add(f"{B}/2", page("moved"))
    assert crawl(web, tmp_path, f"http://{A}/1") == {"ok": 1}
    kept = [(kind, url) for kind, url, _ in records(tmp_path) if kind == "response" and "robots" not in url]
    assert kept == [("response", f"http://{A}/1"), ("response", f"http://{B}/2")]
    assert [document.origin.url for document in documents(tmp_path)] == [f"http://{B}/2"]


@pytest.mark.parametrize(
    ("location", "outcome"),
    [
        ("http://10.0.0.1/", "private_address"),
        ("http://127.0.0.1/x", "private_address"),
        ("file:///etc/passwd", "unsupported_scheme"),
        ("/1", "too_many_redirects"),
        (f"http://{B}/no", "robots_disallows"),
    ],
)
def test_a_redirect_leads_nowhere_that_a_page_may_not(web, tmp_path, location, outcome):
    web.add(f"{A}/1", (302, {"Location": location}, b""))
    web.add(f"{B}/robots.txt", (200, {}, b"User-agent: *\nDisallow: /no\n"))
    assert crawl(web, tmp_path, f"http://{A}/1") == {outcome: 1}
    assert f"{B}/no" not in web.asked()


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://127.0.0.1/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("ftp://a.example/", "unsupported_scheme"),
        ("http://user:pw@a.example/", "bad_url"),
        ("nonsense", "unsupported_scheme"),
        ("http://a.example:x/", "bad_url"),
    ],
)
def test_an_address_that_is_not_to_be_asked_is_recorded_and_not_asked(web, tmp_path, url, outcome):
    assert crawl(web, tmp_path, url) == {outcome: 1}
    assert web.asked() == []
    assert [kind for kind, _, _ in records(tmp_path)] == ["warcinfo", "metadata"]


def test_a_name_that_leads_to_a_private_address_is_refused_after_dns(web, tmp_path):
    assert crawl(web, tmp_path, f"http://{A}/1", allowed=()) == {"private_address": 1}
    assert web.asked() == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"X-Robots-Tag": "noai", "Content-Type": "text/html"}, page().encode()),
        (200, {"X-Robots-Tag": "infimm: noml", "Content-Type": "text/html"}, page().encode()),
        (200, {"tdm-reservation": "1", "Content-Type": "text/html"}, page().encode()),
        page().replace("<head>", "<head><meta name='tdm-reservation' content='1'>"),
        page().replace("<head>", "<head><meta content='noai, follow' name=ROBOTS>"),
        page().replace("<head>", '<head><META NAME="infimm" CONTENT="noindex"/>'),
        (200, {"Content-Type": "text/html", "Content-Encoding": "gzip"},
         gzip.compress(page().replace("<head>", '<head><meta name="robots" content="noai">').encode())),
    ],
)  # fmt: skip
def test_a_page_that_opts_out_is_not_kept(web, tmp_path, answer):
    web.add(f"{A}/1", answer)
    assert crawl(web, tmp_path, f"http://{A}/1") == {"opted_out": 1}
    assert [kind for kind, url, _ in records(tmp_path) if url.endswith("/1")] == ["request", "metadata"]


def slow(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        handler.wfile.write(b"X-A: b\r\n")
        time.sleep(0.05)


def huge(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n")
    for _ in range(1_000):
        handler.wfile.write(b"x" * 65_536)
    handler.close_connection = True


def test_a_slow_page_a_huge_one_and_a_dead_host_cost_only_themselves(web, tmp_path, monkeypatch):
    monkeypatch.setattr(polite, "FIRST_WAIT_S", 0.01)
    web.add(f"{A}/slow", (200, {}, slow))
    web.add(f"{A}/huge", (200, {}, huge))
    web.add(f"{A}/good", page())
    urls = [f"http://{A}/{name}" for name in ("slow", "huge", "good")]
    assert crawl(web, tmp_path, *urls, fetch={"timeout_s": 0.4}) == {"timeout": 1, "too_many_bytes": 1, "ok": 1}
    assert len(documents(tmp_path)) == 1
    assert max(path.stat().st_size for path in (tmp_path / "crawl").iterdir()) < 20_000


def test_a_host_that_never_answers_is_given_up(web, tmp_path, monkeypatch):
    monkeypatch.setattr(polite, "FIRST_WAIT_S", 0.01)
    for n in range(9):
        web.add(f"{A}/{n}", (200, {}, slow))
    found = crawl(web, tmp_path, *[f"http://{A}/{n}" for n in range(9)], attempts=1, fetch={"timeout_s": 0.1})
    assert found == {"timeout": 5, "host_given_up": 4}


def test_the_images_of_a_page_are_kept_beside_it(web, tmp_path):
    picture = (200, {"Content-Type": "image/png"}, PNG)
    shown = f'<img src="/p.png" alt="a picture"><img src="http://{B}/q.png" alt="another"><img src="/no.png" alt="no">'
    web.add(f"{A}/1", page("one", shown))
    web.add(f"{A}/2", page("two", shown))
    web.add(f"{A}/p.png", picture)
    web.add(f"{B}/q.png", picture)
    web.add(f"{A}/robots.txt", (200, {}, b"User-agent: *\nDisallow: /no\n"))
    assert crawl(web, tmp_path, f"http://{A}/1", f"http://{A}/2", page_images=True) == {"ok": 2}
    assert Counter(web.asked(".png")) == {f"{A}/p.png": 1, f"{B}/q.png": 1}
    source = WebArchive(path=str(tmp_path / "crawl"))
    (item,) = source.work_items()
    wanted = [f"http://{A}/p.png", f"http://{B}/q.png", f"http://{A}/no.png"]
    assert dict(source.images(item, wanted)) == {wanted[0]: PNG, wanted[1]: PNG}


def urlset(*urls, kind="url"):
    inside = "".join(f"<{kind}><loc>{url}</loc></{kind}>" for url in urls)
    outer = "urlset" if kind == "url" else "sitemapindex"
    return (
        f'<?xml version="1.0"?><{outer} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</{outer}>'.encode()
    )


def test_sitemaps_are_followed_on_their_own_host(web, tmp_path):
    web.add(f"{A}/index.xml", (200, {}, urlset(f"http://{A}/s.xml.gz", f"http://{B}/s.xml", kind="sitemap")))
    web.add(f"{A}/s.xml.gz", (200, {}, gzip.compress(urlset(f"http://{A}/1", f"http://{B}/1", f"http://{A}/2"))))
    for n in (1, 2):
        web.add(f"{A}/{n}", page(str(n)))
    sitemaps = [f"http://{A}/index.xml"]
    assert crawl(web, tmp_path, f"http://{A}/1", sitemaps=sitemaps) == {"ok": 2}
    assert not [key for key in web.asked() if key.startswith(B)]
    before = len(web.log)
    assert crawl(web, tmp_path, f"http://{A}/1", sitemaps=sitemaps) == {"ok": 2}  # the archive holds the sitemaps, too
    assert len(web.log) == before


def test_no_more_pages_than_wanted_are_asked_of_a_host(web, tmp_path):
    assert crawl(web, tmp_path, *[f"http://{A}/{n}" for n in range(9)], max_pages_per_host=3) == {"http_404": 3}


def test_a_finished_crawl_is_not_asked_for_again_and_grows(web, tmp_path):
    for n in range(3):
        web.add(f"{A}/{n}", page(str(n)))
    crawl(web, tmp_path, f"http://{A}/0", f"http://{A}/1")
    assert crawl(web, tmp_path, *[f"http://{A}/{n}" for n in range(3)]) == {"ok": 3}
    assert Counter(web.asked()) == {f"{A}/robots.txt": 1, f"{A}/0": 1, f"{A}/1": 1, f"{A}/2": 1}
    assert [path.name for path in sorted((tmp_path / "crawl").iterdir())] == [
        "00000-00000.warc.gz",
        "00000-00001.warc.gz",
    ]


@pytest.mark.parametrize("path", ["\u00fc b>", "a\r\nX-Evil: 1", "\ud800", "%zz"])
def test_odd_addresses_are_visited_once_and_write_no_headers(web, tmp_path, path):
    first = crawl(web, tmp_path, f"http://{A}/{path}")
    asked = len(web.log)
    assert crawl(web, tmp_path, f"http://{A}/{path}") == first
    assert len(web.log) == asked
    assert b"\nX-Evil" not in gzip.decompress((tmp_path / "crawl" / "00000-00000.warc.gz").read_bytes())


def test_a_file_ends_when_it_is_full(web, tmp_path):
    for n in range(4):
        web.add(f"{A}/{n}", page(str(n)))
    crawl(web, tmp_path, *[f"http://{A}/{n}" for n in range(4)], segment=2_500)
    names = [path.name for path in sorted((tmp_path / "crawl").iterdir())]
    assert names == [f"00000-{n:05d}.warc.gz" for n in range(len(names))]
    assert len(names) > 1
    assert len(documents(tmp_path)) == 4


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.4, 0.8, 0.99, 1.0])
def test_a_killed_crawl_goes_on_after_its_last_whole_visit(web, tmp_path, keep):
    for n in range(6):
        web.add(f"{A}/{n}", page(str(n)))
    urls = [f"http://{A}/{n}" for n in range(6)]
    crawl(web, tmp_path, *urls)
    whole = tmp_path / "crawl" / "00000-00000.warc.gz"
    data = whole.read_bytes()
    whole.unlink()
    (tmp_path / "crawl" / f"00000-00000.warc.gz{archives.OPEN}").write_bytes(data[: int(len(data) * keep)])
    before = len(web.log)
    assert crawl(web, tmp_path, *urls) == {"ok": 6}
    again = len(web.log) - before
    assert again == (0 if keep == 1.0 else pytest.approx(7 * (1 - keep), abs=1.5))
    assert [document.origin.url for document in documents(tmp_path)] == urls
    assert Counter(kind for kind, _, _ in records(tmp_path)) == {
        "warcinfo": 1,
        "request": 7,
        "response": 7,
        "metadata": 7,
    }


def test_a_page_that_came_before_is_a_revisit_record_that_the_reader_counts(web, tmp_path):
    for path in ("1", "again", "other"):
        web.add(f"{A}/{path}", page("two" if path == "other" else "one"))
    web.add(f"{A}/gone", (404, {"Content-Type": "text/html"}, page("three").encode()))
    web.add(f"{A}/here", page("three"))
    urls = [f"http://{A}/{path}" for path in ("1", "again", "other", "gone", "here")]
    assert crawl(web, tmp_path, *urls) == {"ok": 3, "revisit": 1, "http_404": 1}
    assert [document.origin.url for document in documents(tmp_path)] == [urls[0], urls[2], urls[4]]
    (revisit,) = [(url, block) for kind, url, block in records(tmp_path) if kind == "revisit"]
    assert revisit[0] == urls[1]
    assert revisit[1].startswith(b"HTTP/1.1 200 OK\r\n")
    assert revisit[1].endswith(b"\r\n\r\n")
    source = WebArchive(path=str(tmp_path / "crawl"))
    (item,) = source.work_items()
    skipped = [a for a in source.read(item) if isinstance(a, Skipped) and a.reason == "revisit"]
    assert [(a.url, a.detail) for a in skipped] == [(urls[1], urls[0])]


def test_a_revisit_names_the_record_it_refers_to_and_its_digest(web, tmp_path):
    web.add(f"{A}/1", page())
    web.add(f"{A}/2", page())
    crawl(web, tmp_path, f"http://{A}/1", f"http://{A}/2")
    with (tmp_path / "crawl" / "00000-00000.warc.gz").open("rb") as file:
        found = {
            r.headers["WARC-Target-URI"]: r.headers for r in ArchiveIterator(file) if "WARC-Payload-Digest" in r.headers
        }
        first, second = (dict(found[f"http://{A}/{n}"].items()) for n in "12")
    assert second["WARC-Payload-Digest"] == first["WARC-Payload-Digest"]
    assert second["WARC-Refers-To"] == first["WARC-Record-ID"]
    assert second["WARC-Refers-To-Target-URI"] == f"http://{A}/1"
    assert second["WARC-Refers-To-Date"] == first["WARC-Date"]
    assert second["WARC-Profile"] == "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


def test_an_image_of_two_addresses_is_stored_once_and_found_by_both(web, tmp_path):
    picture = (200, {"Content-Type": "image/png"}, PNG)
    web.add(f"{A}/1", page("one", '<img src="/p.png" alt="a picture"><img src="/q.png" alt="another">'))
    web.add(f"{A}/p.png", picture)
    web.add(f"{A}/q.png", picture)
    crawl(web, tmp_path, f"http://{A}/1", page_images=True)
    kinds = Counter(kind for kind, url, _ in records(tmp_path) if url.endswith(".png"))
    assert (kinds["response"], kinds["revisit"]) == (1, 1)
    source = WebArchive(path=str(tmp_path / "crawl"))
    (item,) = source.work_items()
    wanted = [f"http://{A}/p.png", f"http://{A}/q.png"]
    assert dict(source.images(item, wanted)) == dict.fromkeys(wanted, PNG)


def test_a_crawl_that_goes_on_knows_the_pages_of_its_full_files_but_stores_their_images_again(web, tmp_path):
    picture = (200, {"Content-Type": "image/png"}, PNG)
    web.add(f"{A}/1", page("one", '<img src="/p.png" alt="a picture">'))
    web.add(f"{A}/2", page("one", '<img src="/p.png" alt="a picture">'))
    web.add(f"{A}/3", page("three", '<img src="/q.png" alt="a picture">'))
    web.add(f"{A}/p.png", picture)
    web.add(f"{A}/q.png", picture)
    crawl(web, tmp_path, f"http://{A}/1", page_images=True)
    assert crawl(web, tmp_path, f"http://{A}/1", f"http://{A}/2", f"http://{A}/3", page_images=True) == {
        "ok": 2, "revisit": 1,
    }  # fmt: skip
    assert Counter(kind for kind, url, _ in records(tmp_path) if url.endswith(".png"))["response"] == 2
    source = WebArchive(path=str(tmp_path / "crawl"))
    assert dict(source.images(source.work_items()[1], [f"http://{A}/q.png"])) == {f"http://{A}/q.png": PNG}


RESERVED = f"{A}/.well-known/tdmrep.json"
ASKING = {"tdmrep": True}


def reserving(*locations):
    rules = [{"location": location, "tdm-reservation": 1} for location in locations]
    return 200, {"Content-Type": "application/json"}, json.dumps(rules).encode()


def test_a_page_that_tdmrep_json_reserves_is_not_asked_for(web, tmp_path):
    web.add(RESERVED, reserving("/no"))
    web.add(f"{A}/no", page())
    web.add(f"{A}/yes", page())
    assert crawl(web, tmp_path, f"http://{A}/no", f"http://{A}/yes", fetch=ASKING) == {"ok": 1, "opted_out": 1}
    assert web.asked() == [f"{A}/robots.txt", RESERVED, f"{A}/yes"]


def test_an_image_that_tdmrep_json_reserves_is_not_asked_for(web, tmp_path):
    web.add(RESERVED, reserving("/*.png$"))
    web.add(f"{A}/p", page(more='<img src="/p.png" width="300" height="300">'))
    crawl(web, tmp_path, f"http://{A}/p", fetch=ASKING, page_images=True)
    assert web.asked() == [f"{A}/robots.txt", RESERVED, f"{A}/p"]


def test_a_second_run_knows_what_is_reserved(web, tmp_path):
    web.add(RESERVED, reserving("/no"))
    web.add(f"{A}/yes", page())
    crawl(web, tmp_path, f"http://{A}/yes", fetch=ASKING)
    assert crawl(web, tmp_path, f"http://{A}/no", fetch=ASKING) == {"ok": 1, "opted_out": 1}
    assert web.asked() == [f"{A}/robots.txt", RESERVED, f"{A}/yes"]


def test_tdmrep_json_is_not_asked_for_where_robots_txt_forbids_it(web, tmp_path):
    web.add(f"{A}/robots.txt", (200, {}, b"User-agent: *\nDisallow: /.well-known/\n"))
    web.add(f"{A}/yes", page())
    assert crawl(web, tmp_path, f"http://{A}/yes", fetch=ASKING) == {"ok": 1}
    assert web.asked() == [f"{A}/robots.txt", f"{A}/yes"]


def test_a_page_in_the_place_of_tdmrep_json_reserves_nothing_and_is_no_document(web, tmp_path):
    web.add(RESERVED, page("a start page"))
    web.add(f"{A}/yes", page())
    assert crawl(web, tmp_path, f"http://{A}/yes", fetch=ASKING) == {"ok": 1}
    assert [found.origin.url for found in documents(tmp_path)] == [f"http://{A}/yes"]
