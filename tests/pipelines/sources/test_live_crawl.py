"""The list of a live crawl: its formats, its parts, and what is said where it is wrong."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.errors import ConfigError, SourceError
from pipelines.preview import preview
from pipelines.sources import live_crawl
from pipelines.sources.live_crawl import LiveCrawl

URLS = [f"https://site{n % 3}.example/{n}" for n in range(7)]


def write(path, urls=URLS):
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.table({"id": list(range(len(urls))), "url": urls}), path)
        return str(path)
    lines = {
        "txt": ["# pages", *urls, "  "],
        "csv": ["id,url", *(f"{n},{url}" for n, url in enumerate(urls))],
        "tsv": ["id\turl", *(f"{n}\t{url}" for n, url in enumerate(urls))],
        "jsonl": [json.dumps({"id": n, "url": url}) for n, url in enumerate(urls)],
    }[kind]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


def seeds(source):
    found = {}
    for item in source.work_items():
        pages, _ = source.seeds(item.index)
        assert not set(pages) & set(found)  # a host belongs to one part
        found |= pages
    return found


@pytest.mark.parametrize("name", ["u.txt", "u.txt.gz", "u.csv", "u.tsv", "u.jsonl", "u.jsonl.gz", "u.parquet"])
@pytest.mark.parametrize("parts", [1, 5])
def test_every_host_has_one_part_with_its_pages_in_order(tmp_path, name, parts):
    found = seeds(LiveCrawl(path=write(tmp_path / name), parts=parts))
    assert found == {f"site{n}.example": [url for url in URLS if f"site{n}." in url] for n in range(3)}


def test_sitemaps_belong_to_the_part_of_their_host():
    source = LiveCrawl(sitemaps=("https://a.example/s.xml", "https://b.example/s.xml"), parts=7)
    found = [url for item in source.work_items() for urls in source.seeds(item.index)[1].values() for url in urls]
    assert sorted(found) == list(source.sitemaps)


def test_a_list_that_is_too_large_for_one_part_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(live_crawl, "MAX_PART_URLS", 6)
    source = LiveCrawl(path=write(tmp_path / "u.txt"), parts=1)
    with pytest.raises(SourceError, match="set 'parts' higher"):
        source.seeds(0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give 'path'"),
        ({"path": "x", "parts": 0}, "'parts' is 0"),
        ({"path": "x", "delay_s": -1.0}, "'delay_s' is -1.0"),
        ({"path": "x", "attempts": 0}, "'attempts' is 0"),
    ],
)
def test_settings_out_of_bounds_are_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        LiveCrawl(**settings)


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("u.csv", "link", "no column 'link'; it has id, url"),
        ("u.parquet", "link", "no column 'link'"),
        ("no", "url", "holds no"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_clear_line(tmp_path, name, column, said):
    path = write(tmp_path / name) if "." in name else str(tmp_path)
    with pytest.raises(ConfigError, match=said):
        LiveCrawl(path=path, url_column=column).work_items()


def test_a_dry_run_counts_urls_and_hosts_and_says_what_pages_have_on_average(tmp_path):
    source = LiveCrawl(path=write(tmp_path / "u.parquet"), delay_s=3600.0)
    found = preview(source, source.work_items())
    assert (found.columns, found.num_documents, found.num_images) == (("id", "url"), 7, 38)
    assert (found.size_bytes, found.seconds) == (7 * 35_000, pytest.approx(0.07))
    assert found.how == (
        "URLs of 3 hosts; the largest takes 3.0 h to crawl at 3600 s a request; "
        "35 kB and 5.4 images a page, as pages have on average"
    )


def test_a_dry_run_counts_what_the_settings_leave_of_the_list_and_the_images_that_are_asked_for(tmp_path):
    source = LiveCrawl(
        path=write(tmp_path / "u.txt"), max_pages_per_host=2, page_images=True, sitemaps=("https://a.b/",)
    )
    found = preview(source, source.work_items())
    assert (found.num_documents, found.num_images, found.size_bytes) == (6, 32, 6 * 35_000 + 32 * 90_000)
    assert "and what 1 sitemaps list; the largest takes with its images 13 s to crawl" in found.how


def test_a_dry_run_of_sitemaps_alone_does_not_say_that_there_is_nothing():
    source = LiveCrawl(sitemaps=("https://a.example/s.xml",))
    found = preview(source, source.work_items())
    assert (found.num_documents, found.num_images, found.size_bytes) == (None, None, None)
    assert found.how == "no URL in a list, and what 1 sitemaps list; a crawl tells how many"


def test_a_part_is_no_archive_before_it_is_crawled(tmp_path):
    source = LiveCrawl(path=write(tmp_path / "u.txt"))
    with pytest.raises(SourceError, match="run 'infimm crawl"):
        list(source.read(source.work_items()[0]))
