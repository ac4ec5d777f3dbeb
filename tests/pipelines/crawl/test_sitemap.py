"""Sitemaps of every form that sitemaps.org knows, and those that are made to do harm."""

from __future__ import annotations

import gzip
import time

import pytest

from pipelines.crawl import sitemap
from pipelines.crawl.sitemap import BadSitemapError, Sitemap, read_sitemap

NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
URLSET = f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset {NS}>
  <url><loc> http://a.example/1?x=1&amp;y=2 </loc><lastmod>2024-01-01</lastmod>
    <image:image><image:loc>http://a.example/p.png</image:loc></image:image></url>
  <url><loc><![CDATA[http://a.example/2]]></loc></url>
  <url><loc></loc></url>
</urlset>""".encode()
PAGES = ["http://a.example/1?x=1&y=2", "http://a.example/2"]
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<urlset><url><loc>http://a.example/&b;</loc></url></urlset>"""


@pytest.mark.parametrize(
    "data",
    [
        URLSET,
        gzip.compress(URLSET),
        b"\xef\xbb\xbf" + URLSET,
        URLSET.decode().replace("UTF-8", "utf-16").encode("utf-16"),
    ],
)
def test_the_pages_of_a_sitemap_are_read_in_order(data):
    assert read_sitemap(data) == Sitemap(pages=PAGES)


def test_an_index_names_sitemaps():
    data = f"<sitemapindex {NS}><sitemap><loc>http://a.example/s.xml</loc></sitemap></sitemapindex>".encode()
    assert read_sitemap(data) == Sitemap(sitemaps=["http://a.example/s.xml"])


def test_a_text_sitemap_has_one_url_per_line():
    assert read_sitemap(b"http://a.example/1\r\nnonsense\n\nhttps://a.example/2\n").pages == [
        "http://a.example/1",
        "https://a.example/2",
    ]


def test_a_broken_end_keeps_what_came_before():
    assert read_sitemap(URLSET[:-30]).pages == PAGES


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (BOMB, "document type declaration"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset><url><loc>&x;</loc></url></urlset>', "document type"),
        (b"<a>" * 100_000, "nested over 16 deep"),
        (b"<html", "not XML"),
        (b"\x1f\x8bno", "the gzip stream is broken"),
        (b"<urlset>" + b"<url><loc>http://a.example/</loc></url>" * 50_001, "over 50000 URLs"),
    ],
)
def test_a_sitemap_that_is_none_or_does_harm_is_refused(data, problem):
    begun = time.monotonic()
    with pytest.raises(BadSitemapError, match=problem):
        read_sitemap(data)
    assert time.monotonic() - begun < 2.0


def test_a_zip_bomb_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr(sitemap, "MAX_SITEMAP_BYTES", 100_000)
    with pytest.raises(BadSitemapError, match="over 100000 bytes"):
        read_sitemap(gzip.compress(b"<" + b"\0" * 10_000_000))


def test_an_empty_answer_lists_nothing():
    assert read_sitemap(b"") == Sitemap()
